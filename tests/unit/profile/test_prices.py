import pytest

from ray_import.profile.cost import PRICES, UNKNOWN_PRICE, cost_usd, price_of, worst_cost_usd
from ray_import.profile.model import Prompt, Usage

HAIKU = "claude-haiku-5-5"


@pytest.mark.parametrize(
    ("usage", "batch", "usd"),
    [
        (Usage(input_tokens=100_000, output_tokens=1_000), False, 0.0105),
        (Usage(input_tokens=100_000, output_tokens=1_000), True, 0.00525),
        (Usage(input_tokens=100_001, output_tokens=1_000), False, 0.0525005),
        (Usage(input_tokens=60_000, cache_read_tokens=40_001, output_tokens=0), False, 0.03200005),
        (Usage(cache_write_tokens=10_000), False, 0.00125),
        (Usage(), False, 0.0),
    ],
)
def test_cost_is_that_of_the_table_with_its_tier_of_long_prompts(usage: Usage, batch: bool, usd: float) -> None:
    assert cost_usd(HAIKU, usage, batch) == pytest.approx(usd)


def test_model_with_one_tier_costs_the_same_when_the_prompt_is_long() -> None:
    short, long = (cost_usd("claude-sonnet-5-5", Usage(input_tokens=n)) for n in (100_000, 200_000))
    assert long == pytest.approx(2 * short)


@pytest.mark.parametrize(
    "name", [HAIKU, "anthropic.claude-haiku-5-5", "eu.anthropic.claude-haiku-5-5-v1:0", "claude-haiku-5-5-20260820"]
)
def test_price_is_found_by_the_names_of_bedrock_and_of_a_date(name: str) -> None:
    assert price_of(name) is PRICES[HAIKU]


def test_unknown_model_costs_what_the_dearest_does() -> None:
    assert price_of("claude-next-1") is UNKNOWN_PRICE
    assert all(UNKNOWN_PRICE.input_usd >= price.input_usd for price in PRICES.values())


def test_worst_cost_counts_all_output_and_more_input_than_estimated() -> None:
    prompt = Prompt(
        custom_id="a", model=HAIKU, system="", text="", schema={}, max_output_tokens=8_000, input_tokens=12_000
    )
    assert worst_cost_usd(prompt) > cost_usd(HAIKU, Usage(input_tokens=17_000, output_tokens=8_000))
    assert worst_cost_usd(prompt, batch=True) == pytest.approx(worst_cost_usd(prompt) / 2)
