import unittest

from handler import report
from tasq import Discard, native

SALES = "city,article,amount,price\nZürich,tea,2,0.1\nBern,tea,1,5\nZürich,\"bread, dark\",1,0.2\n".encode()


class Reporting(unittest.TestCase):
    def setUp(self):
        native.settings.clear()

    def test_sums_up_exactly_by_the_first_column(self):
        self.assertEqual(report(SALES).decode(), "city,rows,amount,price\nBern,1,1,5\nZürich,2,3,0.3\n")

    def test_sums_up_by_the_column_that_is_set(self):
        native.settings["group_by"] = "article"
        self.assertEqual(report(SALES).decode(), 'article,rows,amount,price\n"bread, dark",1,1,0.2\ntea,2,3,5.1\n')

    def test_a_ragged_row_has_no_number(self):
        self.assertEqual(report(b"a,b\nx,1\ny\n").decode(), "a,rows\nx,1\ny,1\n")

    def test_a_row_without_its_group_is_in_a_group_without_name(self):
        native.settings["group_by"] = "b"
        self.assertEqual(report(b"a,b\n1,x\n2\n").decode(), "b,rows,a\n,1,2\nx,1,1\n")

    def test_discards_what_it_cannot_sum_up(self):
        native.settings["group_by"] = "city"
        for payload in (b"", b"a,b\n", b"\xff", b'a\n"open', b"a\n1\n"):
            with self.assertRaises(Discard, msg=payload):
                report(payload)


if __name__ == "__main__":
    unittest.main()
