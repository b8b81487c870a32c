"""The command: its table, an interruption, a suite's variants, mistakes."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from test_variant_effects import windows

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.common.progress import progress_bar
from dream_keras.config.experiment import change
from dream_keras.interpret import variant_table
from dream_keras.interpret.effects import Scorer
from dream_keras.interpret.predictor import run_predictor
from dream_keras.interpret.variant_table import write_variants
from dream_keras.interpret.windows import Window, reverse_complement
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate import simulate


def read(path):
    return pd.read_csv(path, sep="\t", comment="#", keep_default_na=False, na_values=[""])


def test_the_table(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(variant_table, "AT_A_TIME", 7)
    given = windows(20)
    given[4] = Window(given[4].variant, status="no_element", warnings=("a", "b"))
    out = tmp_path / "out.tsv"
    assert write_variants(given, Scorer(predictor, null=3), out, "what it is", progress=False) == 20
    assert out.read_text().startswith("# what it is\nid\tchrom\tpos\t")
    table = read(out)
    effects = Scorer(predictor, null=3)(given)
    for task, name in enumerate(predictor.tasks):
        for column, values in (
            ("ref_pred", effects.reference),
            ("alt_pred", effects.alternative),
            ("delta", effects.delta),
            ("null_p", effects.null_p),
            ("quantile", variant_table.quantiles(effects.delta)),
        ):
            np.testing.assert_allclose(table[f"{name}.{column}"], values[:, task], atol=2e-6)
    assert table["id"].tolist() == list(range(20))
    assert table["status"].tolist() == ["ok"] * 4 + ["no_element"] + ["ok"] * 15
    assert table.loc[4, "warnings"] == "a;b"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("cut", [0, 5])
def test_an_interrupted_table_goes_on(predictor, counting, tmp_path, monkeypatch, cut):
    """Also where the last line was cut short; nothing that stands there is predicted again."""
    monkeypatch.setattr(variant_table, "AT_A_TIME", 6)
    given = windows(20)
    whole, out = tmp_path / "whole.tsv", tmp_path / "out.tsv"
    write_variants(given, Scorer(predictor, null=2), whole, "it", progress=False)

    def broken():
        yield from given[:12]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_variants(broken(), Scorer(predictor, null=2), out, "it", progress=False)
    part = tmp_path / "out.tsv.part"
    with part.open("rb+") as file:
        file.truncate(part.stat().st_size - cut)
    counting.asked.clear()
    write_variants(given, Scorer(predictor, null=2), out, "it", resume=True, progress=False)
    assert out.read_text() == whole.read_text()
    assert len(counting.asked) <= (8 + bool(cut)) * 6
    with pytest.raises(UserError, match=r"there is no .*out\.tsv\.part to go on with"):
        write_variants(given, Scorer(predictor), out, "it", resume=True, progress=False)
    part.write_text("# other\n")
    with pytest.raises(UserError, match="made with another run or other settings"):
        write_variants(given, Scorer(predictor), out, "it", resume=True, progress=False)


def test_pairs_of_a_suite_have_its_correlation(run, tmp_path):
    suite = load_suite(simulate(tmp_path / "suite", 20, 600, seed=1))
    pairs = suite.subsets["SNVs"].positions["all"]
    table = pd.DataFrame(
        {
            "id": [f"{alt},{ref}" for alt, ref in pairs],
            "ref": [suite.sequences[ref] for _, ref in pairs],
            "alt": [suite.sequences[alt] for alt, _ in pairs],
        }
    )
    table.to_csv(tmp_path / "pairs.csv", index=False)
    out = tmp_path / "out.tsv"
    done = dream_keras.variants(run.folder.path, out, pairs=tmp_path / "pairs.csv", progress=False)
    assert done == len(pairs)
    delta = read(out)["delta"].to_numpy()
    predicted = run.predict_suite(suite)
    measured = suite.measured[pairs[:, 0], 0] - suite.measured[pairs[:, 1], 0]
    np.testing.assert_allclose(delta, suite.subsets["SNVs"].pick(predicted, "all"), atol=4e-6)
    r = dream_keras.evaluate(run.folder.path, suite=tmp_path / "suite", part="all").subsets["SNVs"]
    assert np.corrcoef(delta, measured)[0, 1] == pytest.approx(
        r.pearson, abs=2e-4
    )  # of deltas near 0


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    bases = "".join(np.random.default_rng(2).choice(list("ACGT"), 500))
    (folder / "genome.fa").write_text(f">chr1\n{bases}\n")
    wrong = "A" if bases[2] != "A" else "G"
    (folder / "variants.csv").write_text(f"chrom,pos,ref,alt\n1,200,{bases[199]},\n1,3,{wrong},T\n")
    return folder, bases


def test_windows_of_a_genome_get_the_adapters(run, genome, tmp_path, caplog):
    """And are as long as the run takes."""
    folder, bases = genome
    out = tmp_path / "out.tsv"
    files = {"vcf": folder / "variants.csv", "genome": folder / "genome.fa"}
    dream_keras.variants(run.folder.path, out, **files, ref_mismatch="keep", progress=False)
    left, right = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
    length = run.processor.max_length - len(left) - len(run.processor.right_adapter)
    start = 199 - length // 2
    reference = left + bases[start : start + length]
    edited = bases[:199] + bases[200:]
    if len(run.processor.right_adapter):
        reference += right
    first, second = read(out).to_dict("records")
    assert first["ref_pred"] == pytest.approx(run.predict([reference])[0], abs=2e-6)
    alternative = left + edited[start : start + length] + reference[len(left) + length :]
    assert first["alt_pred"] == pytest.approx(run.predict([alternative])[0], abs=2e-6)
    assert second["status"] == "edge_of_chromosome"
    assert "1 variants have no prediction: edge_of_chromosome 1" in caplog.text
    assert f"window={length} bp; index={length // 2};" in out.read_text().splitlines()[0]


def test_edits_of_adapters_and_lengths_that_do_not_fit(run, tmp_path):
    """Each edit has its own status; the adapters may be what is edited."""
    left, right = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
    (tmp_path / "s.fa").write_text(f">one\n{left}{'ACGGT' * 16}{right}\n")
    (tmp_path / "e.csv").write_text(
        "id,pos,ref,alt\n"
        + "".join(
            f"one,{at + 1},{base},{'A' if base != 'A' else 'C'}\n" for at, base in enumerate(left)
        )
        + f"one,20,-,{'A' * 200}\n"
    )
    out = tmp_path / "out.tsv"
    files = {"sequences": tmp_path / "s.fa", "edits": tmp_path / "e.csv"}
    for strand in ("+", "-"):
        dream_keras.variants(run.folder.path, out, **files, strand=strand, progress=False)
        table = read(out)
        assert table["status"].tolist() == ["ok"] * 17 + ["too_long"]
    turned = left + reverse_complement("ACGGT" * 16) + right
    assert table["ref_pred"][0] == pytest.approx(run.predict([turned])[0], abs=2e-6)
    bare = tmp_path / "bare.fa"
    bare.write_text(f">one\n{'ACGGT' * 16}\n")
    with pytest.raises(UserError, match="most sequences do not begin with the adapter"):
        dream_keras.variants(
            run.folder.path,
            out,
            sequences=bare,
            edits=tmp_path / "e.csv",
            ref_mismatch="keep",
            progress=False,
        )


def test_another_input_is_not_gone_on_with(run, genome, tmp_path):
    folder, _ = genome
    out = tmp_path / "out.tsv"
    files = {"vcf": folder / "variants.csv", "genome": folder / "genome.fa"}
    out.with_name("out.tsv.part").write_text("# dream_keras.variants; input=other.csv:3\n")
    with pytest.raises(UserError, match="made with another run or other settings"):
        dream_keras.variants(
            run.folder.path, out, **files, ref_mismatch="keep", resume=True, progress=False
        )


@pytest.mark.parametrize("way", ["pairs", "edits", "vcf", "elements"])
def test_progress_knows_how_much_is_left(run, genome, tmp_path, monkeypatch, way):
    """Each allele counts; how many elements hold a variant is not known before."""
    folder, bases = genome
    left, right = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
    ends = (left + "ACGGT" * 16 + right, left + "ACGGA" * 16 + right)
    (tmp_path / "pairs.csv").write_text(f"ref,alt\n{','.join(ends)}\n{','.join(ends[::-1])}\n")
    (tmp_path / "s.fa").write_text(f">one\n{ends[0]}\n")
    (tmp_path / "edits.csv").write_text("id,pos,ref,alt\none,18,A,C\ntwo,18,A,C\n")
    others = ",".join(base for base in "ACGT" if base != bases[199])
    (tmp_path / "v.csv").write_text(f'chrom,pos,ref,alt\n1,200,{bases[199]},"{others}"\n1,3,,A\n')
    (tmp_path / "e.bed").write_text("chr1\t150\t230\nchr1\t160\t240\n")
    positions = {"vcf": tmp_path / "v.csv", "genome": folder / "genome.fa"}
    given, total, done = {
        "pairs": ({"pairs": tmp_path / "pairs.csv"}, 2, 2),
        "edits": ({"sequences": tmp_path / "s.fa", "edits": tmp_path / "edits.csv"}, 2, 2),
        "vcf": (positions, 4, 4),
        "elements": ({**positions, "elements": tmp_path / "e.bed"}, None, 7),
    }[way]
    bars = []

    def bar(progress, **options):
        bars.append(progress_bar(False, **options))
        return bars[-1]

    monkeypatch.setattr(variant_table, "progress_bar", bar)
    assert dream_keras.variants(run.folder.path, tmp_path / "out.tsv", **given) == done
    assert [each.total for each in bars] == [total]


def test_windows_of_runs_whose_rows_had_adapters_get_them_too(run, tmp_path):
    """Also where the run says that its rows had them."""
    experiment = change(run.experiment, ["data.adapters=present"])
    shutil.copytree(run.folder.path, tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(experiment.plain()))
    bare = run_predictor(tmp_path / "run", bare=True)
    assert bare.adapters == "TGCATTTTTTTCACATC,GGTTACGGCTGTT"
    assert bare.kept == (0, 0)
    there = run_predictor(tmp_path / "run")
    assert (there.adapters, there.kept) == ("none", (17, 13))
    with pytest.raises(UserError, match="adapters=foo: expected present, add"):
        run_predictor(run.folder.path, "foo")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give variants in one of these ways: --pairs, --sequences and --edits, --vcf and"),
        ({"pairs": "a", "vcf": "b"}, "give variants in one of these ways"),
        ({"vcf": "variants.csv"}, "--vcf and --genome belong together: give both"),
        ({"pairs": "variants.csv", "shifts": 2}, "need a genome"),
        ({"pairs": "nothing.csv"}, "no file .*nothing.csv"),
        ({"pairs": "variants.csv", "strand": "0"}, r'unknown strand "0"'),
        ({"vcf": "variants.csv", "genome": "genome.fa", "window": 999}, "--window 999: the run"),
        ({"vcf": "variants.csv", "genome": "genome.fa"}, "reference allele is [AG], but there is"),
        ({"vcf": "variants.csv", "genome": "variants.csv"}, "not a readable FASTA file"),
        ({"vcf": "variants.csv", "genome": "genome.fa", "shifts": 99}, "--shifts 99: at most"),
        ({"vcf": "variants.csv", "genome": "genome.fa", "window": 0}, "--window 0: the run takes"),
        ({"pairs": "-"}, "standard input"),
        (
            {"vcf": "variants.csv", "genome": "genome.fa", "elements": "variants.csv"},
            "expected chrom, start and end",
        ),
    ],
)
def test_mistakes(run, genome, tmp_path, given, said):
    folder, _ = genome
    paths = ("pairs", "vcf", "genome", "elements")
    given = {k: folder / v if k in paths and v != "-" else v for k, v in given.items()}
    with pytest.raises(UserError, match=said):
        dream_keras.variants(run.folder.path, tmp_path / "out.tsv", progress=False, **given)
    assert not (tmp_path / "out.tsv").exists()


def test_a_vcf_file_is_annotated(run, genome, tmp_path):
    """Read again by pysam; what stood there stays, and each allele has its numbers."""
    pysam = pytest.importorskip("pysam")
    folder, bases = genome
    other = [base for base in "ACGT" if base != bases[199]]
    (tmp_path / "in.vcf").write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=1>\n"
        '##INFO=<ID=NOTE,Number=1,Type=String,Description="a note">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f'1\t200\trs1\t{bases[199]}\t{other[0]},{other[1]}\t.\tPASS\tNOTE="q\n'
        f"1\t3\t.\t{bases[2]}\tN\t.\t.\t.\n"
    )
    files = {"vcf": tmp_path / "in.vcf", "genome": folder / "genome.fa"}
    out = tmp_path / "out.vcf.gz"
    assert dream_keras.variants(run.folder.path, out, **files, progress=False) == 3
    table = read(tmp_path / "out.tsv")
    with pysam.VariantFile(str(out)) as file:
        first, second = file
        assert first.id == "rs1"
        assert first.info["NOTE"] == '"q'
        assert first.alts == tuple(other[:2])
        for field in ("ref_pred", "alt_pred", "delta", "quantile"):
            assert first.info[f"DK_{field}"] == pytest.approx(table[field][:2], rel=1e-5)
        assert second.info["DK_delta"] == (None,)
    with pytest.raises(UserError, match="a VCF file is written of a VCF file"):
        dream_keras.variants(run.folder.path, out, pairs=folder / "variants.csv")
