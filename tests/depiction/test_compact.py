from molig.depiction.svg import compact


def test_lines_of_one_style_become_one_path():
    lines = "".join(
        f"<path class='bond-{i}' d='M {i}.0,1.5 L 2.0,10.0' style='fill:none;stroke:#000000'/>"
        for i in (1, 2)
    )
    written = compact(f"<?xml version='1.0' encoding='iso-8859-1'?><svg>{lines}</svg>")
    assert written == '<path d="M1,1.5L2,10M2,1.5L2,10" fill="none" stroke="#000"/>'


def test_filled_shapes_are_grouped_but_not_merged():
    shapes = "<path d='M 0,0 L 1,1 Z' fill='#FF0000'/>" * 2
    assert (
        compact(f"<svg>{shapes}</svg>") == '<g fill="#FF0000"><path d="M0,0L1,1Z"/><path d="M0,0L1,1Z"/></g>'
    )


def test_disc_with_a_rim_of_its_colour_is_a_larger_disc():
    disc = (
        "<ellipse cx='5.0' cy='6' rx='10.0' ry='10.0' style='fill:#FF9999;stroke:#FF9999;stroke-width:1px'/>"
    )
    assert compact(f"<svg>{disc}</svg>") == '<circle cx="5" cy="6" r="10.5" fill="#FF9999"/>'


def test_what_is_not_understood_is_left_as_it_is():
    inner = "<text x='1'>C</text><path d='M 0,0'/>"
    assert compact(f"<svg width='3'>{inner}</svg>") == inner
