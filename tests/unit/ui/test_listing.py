from circuitviz.ui.elements.keys import listing_key


def test_a_key_stays_while_the_list_shows_the_same():
    assert listing_key("runs", ["a", "b"]) == listing_key("runs", ["a", "b"])


def test_a_key_changes_with_names_order_and_number():
    lists = (["a", "b"], ["b", "a"], ["a", "c"], ["a"], ["ab"], [])
    assert len({listing_key("runs", labels) for labels in lists}) == len(lists)
    assert listing_key("runs", []) != listing_key("methods", [])
