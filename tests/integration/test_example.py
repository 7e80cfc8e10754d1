"""The example of docs/testing.md: how an engineer tests against a stack."""

import pytest

# [example]
from cflight.testing.stack import RunningStack

CSV = "LHR,IST,2020-08-01,169.99,Y\nLHR,IST,2020-08-02,89.50,Y\nLHR,IST,2020-08-02,free,Y\n"


def test_the_cheapest_quote_reaches_its_bucket(cflight_stack: RunningStack) -> None:
    stack = cflight_stack
    batch = stack.batch_id(stack.send([CSV])[0])

    quote = stack.wait_for(f"the quote of {batch}", lambda: stack.quote(batch), seconds=60)
    assert quote.value["CHEAPEST_QUOTE"] == 89.50

    [letter] = stack.wait_for("the reject", lambda: stack.records("cflight.incoming.dlq", key=batch))
    assert (letter.value, letter.headers["error.reason"]) == (b"LHR,IST,2020-08-02,free,Y", "price")

    def stored() -> list[object]:
        objects = stack.objects(stack.endpoints.quotes_bucket)
        return [record for one in objects for record in stack.buckets.records(one)]

    stack.wait_for("the quote's object", lambda: quote.value in stored(), seconds=60)


# [/example]


pytestmark = pytest.mark.integration
