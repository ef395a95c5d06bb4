"""Model cards: every section from the description alone, with what it knows and no more."""

import re

import numpy as np
import pytest
import torch
from network.nets import graphs_of
from support.random_models import random_model

from molig.model import (
    CrossValidation,
    Objective,
    Provenance,
    RegressionMetrics,
    model_card,
)
from molig.model.info import ReliabilityBin, ReliabilityInfo
from molig.molecules import Hydrogens
from molig.stats import RankingQuality

from .conftest import domain_of

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CCBr"]


def provenance(**changes):
    known = {
        "data_file": "table.csv",
        "data_sha256": "ab12",
        "n_rows": 2000,
        "n_rejected": 5,
        "n_train": 1500,
        "n_validation": 200,
        "n_test": 295,
        "split": {"kind": "stratified", "seed": 0},
        "seed": 3,
        "epochs_run": 40,
        "best_epoch": 37,
        "command": "molig train -i table.csv",
        "versions": {"molig": "1.0"},
        "date": "2030-01-02",
    }
    return Provenance(**known | changes)


def task(roc_auc=0.8, n_actives=50, **figures):
    return RankingQuality(roc_auc=roc_auc, pr_auc=0.4, n_actives=n_actives, n_inactives=900, **figures)


def full_task(**figures):
    known = {
        "bedroc": 0.51,
        "ef_0_5": 21.04,
        "ef_1": 17.5,
        "ef_5": 8.25,
        "brier": 0.123,
        "tie_fraction": 0.0,
        "intervals": {
            "roc_auc": (0.75, 0.86),
            "pr_auc": (0.3, 0.5),
            "bedroc": (0.4, 0.6),
            "ef_1": (12.04, 20.5),
            "ef_5": (7, 9),
        },
    }
    return task(**known | figures)


@pytest.fixture(scope="module")
def bare():
    return random_model().info


def card(info, **changes):
    return model_card(info.model_copy(update=changes))


def known_limits(info):
    return section(model_card(info), "Known limits").strip().split("\n- ")[1:]


def section(text, title):
    (found,) = [part for part in text.split("\n## ") if part.startswith(title)]
    return found


def rows(text):
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_bare_description_has_no_empty_sections(bare):
    text = model_card(bare)
    assert re.findall(r"^## (.*)", text, re.M) == ["Intended use", "Known limits"]
    assert "n/a" not in text
    assert "None" not in text


def test_order_of_the_sections(bare):
    text = card(
        bare,
        training=provenance(),
        metrics={"test": {"one": full_task(), "two": full_task()}},
        cross_validation=CrossValidation(folds=5, scheme="stratified", seed=0, tasks={}, medians={}),
        applicability=domain_of(random_model(), SMILES).info,
    )
    assert re.findall(r"^## (.*)", text, re.M) == [
        "Intended use",
        "Data",
        "Split",
        "Quality on the test part",
        "Cross-validation",
        "Applicability",
        "Known limits",
        "Reproduction",
    ]


class TestData:
    def test_source_and_licence(self, bare):
        text = card(bare, training=provenance(data_source="https://example.org", data_licence="CC0-1.0"))
        found = section(text, "Data")
        assert "- Source: https://example.org\n- Licence: CC0-1.0\n- 2,000 rows, 5 of them unusable" in found
        assert "`ab12`" in found

    def test_conflicting_labels(self, bare):
        conflicts = {"policy": "majority", "molecules": 12, "labels": 30, "changed": 7}
        text = card(bare, training=provenance(label_conflicts=conflicts))
        assert "different labels: policy majority, molecules 12, labels 30, changed 7" in section(
            text, "Data"
        )
        assert "different labels" not in card(bare, training=provenance())

    def test_reproduction(self, bare):
        found = section(card(bare, training=provenance()), "Reproduction")
        assert "```\nmolig train -i table.csv\n```" in found
        assert found.endswith("molig 1.0; 2030-01-02.\n")

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"keep": "best"}, "Seed 3; epoch 37 of 40 was the best on the validation part. molig"),
            ({"keep": "last", "best_epoch": 40}, "Seed 3; 40 epochs, of which the last was kept. molig"),
            ({}, "Seed 3; epoch 37 of 40 was kept. molig"),
        ],
    )
    def test_the_kept_epoch(self, bare, changes, text):
        assert text in section(card(bare, training=provenance(**changes)), "Reproduction")

    def test_an_older_file_does_not_tell_what_was_kept(self):
        plain = provenance(keep="last").model_dump(mode="json")
        assert Provenance.model_validate(plain).keep == "last"
        del plain["keep"]
        assert Provenance.model_validate(plain).keep is None


class TestQuality:
    def test_figures_with_intervals_and_medians(self, bare):
        metrics = {"test": {"one": full_task(), "two": full_task(roc_auc=0.9, bedroc=0.61)}}
        text = section(card(bare, metrics=metrics), "Quality")
        header, _, one, _, median = rows(text)
        expected = {
            "task": ("one", "**median**"),
            "ROC-AUC": ("0.800 [0.750, 0.860]", "0.850"),
            "PR-AUC": ("0.400 [0.300, 0.500]", "0.400"),
            "BEDROC": ("0.510 [0.400, 0.600]", "0.560"),
            "EF 0.5 %": ("21.0", "21.0"),
            "EF 1 %": ("17.5 [12.0, 20.5]", "17.5"),
            "EF 5 %": ("8.2", "8.2"),
            "Brier": ("0.123", "0.123"),
            "actives": ("50", ""),
            "inactives": ("900", ""),
        }
        assert header == list(expected)
        assert list(zip(one, median, strict=True)) == list(expected.values())
        assert "Median ROC-AUC 0.850." in text
        assert "95 % bootstrap intervals" in text

    def test_an_older_model_has_the_areas_only(self, bare):
        text = section(card(bare, metrics={"test": {"one": task()}}), "Quality")
        assert rows(text)[0] == ["task", "ROC-AUC", "PR-AUC", "actives", "inactives"]
        assert "BEDROC" not in text
        assert "brackets" not in text
        assert "median**" not in text  # of one task

    @pytest.mark.parametrize(
        ("keep", "text"),
        [
            ("best", "On the validation part, which chose the epoch: 0.700."),
            ("last", "On the validation part, which training only watched: 0.700."),
            (None, "On the validation part: 0.700."),
        ],
    )
    def test_the_validation_part_is_one_line(self, bare, keep, text):
        metrics = {"validation": {"one": task(0.7)}, "test": {"one": task(0.8)}}
        found = section(card(bare, metrics=metrics, training=provenance(keep=keep)), "Quality")
        assert found.startswith("Quality on the test part")
        assert f"Median ROC-AUC 0.800. {text}\n" in found

    @pytest.mark.parametrize(
        ("keep", "text"),
        [
            ("best", "The epoch was chosen on this part, which flatters the figures."),
            ("last", "The last epoch was kept; training only watched this part."),
            (None, "The epoch may have been chosen on this part, which would flatter the figures."),
        ],
    )
    def test_validation_alone_is_called_flattered_if_it_chose(self, bare, keep, text):
        metrics = {"validation": {"one": task(0.7)}}
        found = card(bare, metrics=metrics, training=provenance(keep=keep))
        assert f"Median ROC-AUC 0.700. {text}\n" in section(found, "Quality on the validation part")

    def test_without_provenance_nobody_knows_what_chose_the_epoch(self, bare):
        metrics = {"validation": {"one": task(0.7)}, "test": {"one": task(0.8)}}
        assert "On the validation part: 0.700." in card(bare, metrics=metrics)

    def test_a_task_with_one_class(self, bare):
        empty = RankingQuality(roc_auc=None, pr_auc=None, n_actives=0, n_inactives=9)
        text = card(bare, metrics={"test": {"one": empty}})
        assert "No task has both classes." in text
        assert "| one | n/a | n/a | 0 | 9 |" in text

    def test_ties_are_told_where_there_are_many(self, bare):
        assert "Up to 8.0 % of the molecules share" in card(
            bare, metrics={"test": {"one": full_task(tie_fraction=0.08)}}
        )
        assert "share their score" not in card(bare, metrics={"test": {"one": full_task()}})

    def test_a_regression_speaks_of_values(self, bare):
        found = RegressionMetrics(r2=0.5, rmse=12.34567, spearman=0.7, n=99)
        text = card(bare, objective=Objective.REGRESSION, metrics={"test": {"one": found, "two": found}})
        assert "| one | 0.500 | 12.35 | 0.700 | 99 |" in text
        assert "| **median** | 0.500 |  | 0.700 |  |" in text  # no median of errors in different units
        for word in ("AUC", "robability", "hit rate", "Brier"):
            assert word not in text


class TestApplicability:
    def test_all_molecules_are_the_reference(self, bare):
        info = domain_of(random_model(), SMILES).info
        text = section(card(bare, applicability=info), "Applicability")
        assert "over all 4 different training molecules" in text
        assert rows(text)[0] == ["1 %", "5 %", "25 %", "50 %", "75 %"]
        assert f"less similar than {info.threshold:.2f}" in text
        assert "- Heavy atoms: 3 to 14;" in text
        assert "- Elements (molecules): C 4, O 3, N 1, Br 1" in text

    def test_a_sample_is_called_one(self, bare):
        info = domain_of(random_model(), SMILES).info
        text = card(bare, applicability=info.model_copy(update={"n_molecules": 100_000, "n_reference": 5000}))
        assert "over 5,000 of 100,000 different training molecules, drawn at random" in text

    def test_only_so_many_elements_are_listed(self, bare):
        info = domain_of(random_model(), SMILES).info
        many = info.model_copy(update={"elements": {f"X{i}": 1 for i in range(33)}})
        assert "X29 1, 3 more" in card(bare, applicability=many)


class TestLimits:
    def limits(self, info, **changes):
        return " ".join(known_limits(info.model_copy(update=changes)))

    def test_own_limits_come_first(self, bare):
        assert (
            known_limits(bare.model_copy(update={"known_limits": ("Mind the gap.",)}))[0] == "Mind the gap."
        )

    @pytest.mark.parametrize(
        ("weight", "text"),
        [
            (1.0, "0.5 stands for about the average hit rate"),
            (0.5, "higher than the hit rate"),
            (0.0, "were not calibrated"),
        ],
    )
    def test_what_a_score_is_not(self, bare, weight, text):
        assert text in self.limits(bare, training=provenance(positive_weight=weight))

    def test_brier(self, bare):
        assert "Median Brier score on the test part 0.123" in self.limits(
            bare, metrics={"test": {"one": full_task()}}
        )

    def test_few_actives(self, bare):
        text = self.limits(bare, metrics={"test": {"one": task(n_actives=19), "two": task(n_actives=20)}})
        assert "1 task has fewer than 20 held-out actives, so their figures are uncertain: one." in text

    @pytest.mark.parametrize(
        ("modules", "distance", "text"),
        [
            (1, 2, "It is an exhibit"),
            (2, 2, "up to 2 bonds away"),
            (3, 2, "up to 2 bonds away"),
            (4, 3, "up to 6 bonds away"),
            (2, None, ""),
        ],
    )
    def test_reach(self, modules, distance, text):
        found = self.limits(random_model("simple", distance, n_modules=modules).info)
        assert text in found
        assert ("bonds away" in found) == ("bonds away" in text)

    def test_what_the_features_do_not_hold(self):
        simple, full = (self.limits(random_model(schema).info) for schema in ("simple", "full"))
        assert "does not see formal charge, chirality" in simple
        assert "formal charge" not in full
        assert "chirality" not in full
        for found in (simple, full):
            assert "isotopes or conformation" in found

    def test_hydrogens(self, bare):
        explicit = bare.molecules.model_copy(update={"hydrogens": Hydrogens.EXPLICIT})
        assert "number of hydrogens" in self.limits(bare)
        assert "number of hydrogens" not in self.limits(bare, molecules=explicit)
        assert "Hydrogens are atoms of the graph." in card(bare, molecules=explicit)

    def test_where_to_look_for_applicability(self, bare):
        assert "does not say which those are" in self.limits(bare)
        domain = domain_of(random_model(), SMILES).info
        assert "`molig screen --applicability`" in self.limits(bare, applicability=domain)


def test_a_bar_in_the_name_of_a_task_stays_in_its_cell(bare):
    text = card(bare, metrics={"test": {"x|y": task()}})
    assert "\n| x\\|y | 0.800 | 0.400 | 50 | 900 |\n" in text


def test_what_an_atom_knows_is_what_the_card_says():
    """Two molecules that differ in one atom: its neighbours' states change up to the stated distance."""
    for modules in (1, 2, 3, 4):
        model = random_model("simple", 2, n_modules=modules, atom_batch_norm=False)
        states = []
        for smiles in ("CCCCCCCCCC", "NCCCCCCCCC"):
            kept = []
            hook = model.network.readout.register_forward_pre_hook(
                lambda _, args, kept=kept: kept.append(args[0])
            )
            model.logits(graphs_of([smiles], "simple", 2))
            hook.remove()
            states.append(kept[0].detach())
        changed = torch.any((states[0] - states[1]).abs() > 1e-6, dim=1).numpy()
        assert np.flatnonzero(changed).max() == modules // 2 * 2


class TestCommittee:
    @pytest.fixture
    def info(self, small_committee):
        return small_committee.info

    def test_members_say_what_they_read_and_weigh(self, info):
        forest = info.committee.members[2].model_copy(update={"weights": (0.25, 0.5), "figures": {}})
        weave, other, _, kernel = info.committee.members
        committee = info.committee.model_copy(update={"members": (weave, other, forest, kernel)})
        table = rows(section(card(info, committee=committee), "Committee"))
        assert table[0][:3] == ["member", "reads", "weight"]
        assert [line[0] for line in table[2:6]] == ["weave", "environments", "forest", "kernel"]
        assert table[3][1] == "counts of 300 substructures, by a network of 16 hidden units"
        assert table[4][1:3] == [
            "counts of 300 substructures, by 40 trees of a random forest",
            "0.25 to 0.50",
        ]
        assert table[5][1] == f"counts of 300 substructures, by similarity to {kernel.size} molecules"

    def test_calibration(self, info):
        committee = info.committee.model_copy(update={"slope": (1.5, 1.5), "offset": (-0.25, 0.5)})
        text = section(card(info, committee=committee), "Committee")
        assert "with slope 1.50 and offsets from -0.25 to 0.50, which keeps the order." in text
        assert "the calibrated probability of being active" in model_card(info)
        assert known_limits(info)[0].startswith("Scores are calibrated on the validation part: ")

    def test_reliability(self, info):
        bins = (
            ReliabilityBin(mean_score=0.05, share_active=0.06, n=1200),
            ReliabilityBin(mean_score=0.31, share_active=0.25, n=40),
        )
        curve = ReliabilityInfo(
            bins=bins, expected_error=0.0123, by_task={"nitrogen": 0.01, "carbonyl": 0.02}
        )
        text = section(card(info, reliability={"test": curve}), "Committee")
        assert "All members weigh the same; the calibration was chosen on the validation part." in text
        assert "of molecules scored about 0.31, 25 % were active on the test part (40 labels)." in text
        assert (
            "Expected calibration error there, all tasks together: 0.012; by task from 0.010 to 0.020."
            in text
        )
        assert rows(text)[-3:] == [
            ["---"] * 3,
            ["0.050", "0.060", "1,200"],
            ["0.310", "0.250", "40"],
        ]

    def test_weights_that_nothing_was_learned_about_are_those_of_the_recipe(self, info):
        weights = [(0.4, 0.4), (0.2, 0.2), (0.2, 0.2), (0.2, 0.2)]
        members = [
            member.model_copy(update={"weights": own})
            for member, own in zip(info.committee.members, weights, strict=True)
        ]
        plain = {"members": tuple(members), "slope": (1.0, 1.0), "offset": (0.0, 0.0)}
        for learned, told in (
            (True, "Weights were chosen on the validation part."),
            (False, "Weights are those of the recipe, since the validation part says too little to choose"),
        ):
            committee = info.committee.model_copy(update=plain | {"learned": learned})
            assert told in section(card(info, committee=committee), "Committee")

    def test_members_that_were_trained_again_say_so(self, info):
        committee = info.committee.model_copy(update={"refit": True})
        text = section(card(info, committee=committee), "Committee")
        assert "on the validation part; then the members were trained again on it" in text

    def test_the_part_that_was_fitted_flatters(self, info):
        curve = ReliabilityInfo(
            bins=(ReliabilityBin(mean_score=0.3, share_active=0.3, n=9),), expected_error=0.0
        )
        metrics = {"validation": info.metrics["validation"]}
        text = card(info, reliability={"validation": curve}, metrics=metrics)
        assert "fitted to this part, which flatters" in section(text, "Committee")

    def test_what_was_not_calibrated_does_not_claim_it(self, info):
        committee = info.committee.model_copy(update={"slope": (1.0, 1.0), "offset": (0.0, 0.0)})
        text = card(info, committee=committee, reliability={})
        assert "calibrated" not in section(text, "Committee")
        assert "high for likely actives" in text

    def test_a_network_alone_has_no_such_section(self, bare):
        assert "ommittee" not in model_card(bare)
        assert "calibrated probability" not in model_card(bare)
        assert not bare.calibrated
        assert bare.meaning_of_score == ""
