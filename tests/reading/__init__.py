"""A slow, plain second reading of the extraction rules, which the product is compared with.

Each module quotes the sentences of the rules that it implements, and shares no code with `ray_import`. Speed does not
matter here: a rule is written as a person would check it by hand. `python -m tests.reading --seed N` shows a case.
"""
