from __future__ import annotations
import time
def test_it(experiment):
    checker = experiment("solo")
    checker.stack.extra["worker"] = ["-P", "solo"]
    checker.stack.start("redis"); checker.stack.start("worker", "recorder")
    i = checker.submit("late", 1, 35.0)
    checker.started(i)
    checker.stack.start("worker-2")
    checker.settle(60)
    print(checker.truth()); print(checker.stack.log("recorder"))
    raise AssertionError
