"""What the tests have in the place of Claude: an API over real HTTP on loopback, whose model knows planted facts.

`with model_api() as api:` serves it from this process, `with model_api_process() as api:` from one of its own, which a
test can outlive or kill its client beside. Both are used by HTTP alone: see `tests.support.model_api.server.ModelApi`.
"""
