"""What a request costs. The API tells no prices: this table is of the date below, from Anthropic's list."""

from dataclasses import dataclass

from ray_import.profile.model import Prompt, Usage

PRICES_DATE = "2026-11-29"

LONG_PROMPT_TOKENS = 100_000
"""Above so many tokens of a prompt, a model with two tiers charges the upper one for all of it."""

BATCH_SHARE = 0.5
CACHE_READ_SHARE = 0.1
CACHE_WRITE_SHARE = 1.25

WORST_INPUT_FACTOR = 1.5
"""By so much the estimate of a prompt's tokens may be too low."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars a million tokens. `long_*` are those of long prompts; 0 where there is one tier only."""

    input_usd: float
    output_usd: float
    long_input_usd: float = 0.0
    long_output_usd: float = 0.0


PRICES = {
    "claude-haiku-5-5": Price(input_usd=0.10, output_usd=0.50, long_input_usd=0.50, long_output_usd=2.50),
    "claude-haiku-4-5": Price(input_usd=1.0, output_usd=5.0),
    "claude-sonnet-5-5": Price(input_usd=2.0, output_usd=10.0),
    "claude-opus-5-5": Price(input_usd=4.0, output_usd=20.0),
}
UNKNOWN_PRICE = PRICES["claude-opus-5-5"]
"""Of a model that the table does not have: the dearest, so that a limit in dollars holds."""


def price_of(model: str) -> Price:
    """The price of a model, by the beginning of its name; names of Bedrock have a vendor and a region before it."""
    name = model.rpartition("anthropic.")[2]
    return next((price for known, price in PRICES.items() if name.startswith(known)), UNKNOWN_PRICE)


def cost_usd(model: str, usage: Usage, batch: bool = False) -> float:
    """What a request is charged, in US dollars."""
    price = price_of(model)
    prompt_tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    is_long = prompt_tokens > LONG_PROMPT_TOKENS and price.long_input_usd > 0
    input_usd = price.long_input_usd if is_long else price.input_usd
    output_usd = price.long_output_usd if is_long else price.output_usd
    weighed = (
        usage.input_tokens + CACHE_READ_SHARE * usage.cache_read_tokens + CACHE_WRITE_SHARE * usage.cache_write_tokens
    )
    whole = (weighed * input_usd + usage.output_tokens * output_usd) / 1_000_000
    return whole * BATCH_SHARE if batch else whole


def worst_cost_usd(prompt: Prompt, batch: bool = False) -> float:
    """The most that a request can be charged: with all the output that it may have."""
    tokens = int(prompt.input_tokens * WORST_INPUT_FACTOR) + 1
    return cost_usd(prompt.model, Usage(input_tokens=tokens, output_tokens=prompt.max_output_tokens), batch)
