"""The types of the API's answers: which fields are there, and which may be missing."""

from tests.pipeline.http.typescript import declarations


def test_a_field_may_be_missing_where_its_default_or_nothing_is_said():
    made = declarations()

    for line in (
        '  judgement: "better" | "harmed" | "open" | "safe" | "worse" | null;',  # of a cell: always said
        "  mean: number | null;",
        "  unusable_share?: number;",  # unset
        "  weight?: number;",  # of a variant, which leaves out its defaults
        "  variants: Array<Variant>;",
        "  yes?: boolean;",  # of what a client says
        "  offsets: Record<string, number>;",
    ):
        assert f"\n{line}\n" in made
