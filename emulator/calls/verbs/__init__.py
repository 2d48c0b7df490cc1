"""Carrying out the verbs of flows: one module per idea, one handler per verb.

A handler takes the ``Stage`` of its call and the verb, does the work, and returns the
verb's result; ``registry.HANDLERS`` is the one place that knows them all. A handler
never raises for what a customer's server or file did wrong: that is a result.
"""
