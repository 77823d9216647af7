import unittest

from handler import Numbers, Sum, add
from tasq import native


class Adding(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(add(Numbers(5, 4)), Sum(9))
        self.assertIn(("info", "adding", {"arg1": "5", "arg2": "4"}), native.logged)


if __name__ == "__main__":
    unittest.main()
