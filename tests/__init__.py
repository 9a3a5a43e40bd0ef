"""All tests; an assertion that fails in what they share shows its values too."""

import pytest

pytest.register_assert_rewrite("tests.support")
