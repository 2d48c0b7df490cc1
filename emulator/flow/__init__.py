"""Flows: files of applets, and the pure machine that walks them.

```text
 flows/*.yaml --loader--> Flow --+         (validation: every problem at once)
                                 v
 calls room  <---- Step(transitions, verb) ---- FlowRun ---- applet (a generator)
      |                                            ^
      +------------- result of the verb ----------+
```

An applet yields *verbs* (``ports``), receives their results and returns the exit that
it took. It knows no SIP, no HTTP and no clock; the calls room carries the verbs out.
Whatever a verb reports, the applet takes a documented exit and says why; it never
raises for what a peer did.

To add an applet: a module in ``applets`` with its model and its ``run``, a line in
``model.AnyApplet``, a line in the tests of every exit.
"""
