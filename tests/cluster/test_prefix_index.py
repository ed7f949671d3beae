from nanovllm_edu.cluster.prefix_index import PrefixIndex


def test_whole_blocks_from_the_beginning_count():
    index = PrefixIndex(4, 100)
    index.add(list(range(11)), 1)
    assert index.lengths(list(range(11))) == {1: 8}
    assert index.lengths([*range(4), 9, 9, 9, 9]) == {1: 4}
    assert index.lengths([9, *range(1, 11)]) == {}
    assert index.lengths([0, 1]) == {}


def test_each_replica_has_its_own_length():
    index = PrefixIndex(2, 100)
    index.add([1, 2, 3, 4, 5, 6], 0)
    index.add([1, 2, 3, 4], 1)
    assert index.lengths([1, 2, 3, 4, 5, 6, 7]) == {0: 6, 1: 4}


def test_the_same_block_behind_another_one_is_another_one():
    index = PrefixIndex(2, 100)
    index.add([1, 2, 3, 4], 0)
    assert index.lengths([3, 4]) == {}


def test_a_replica_that_died_is_forgotten_and_old_blocks_too():
    index = PrefixIndex(2, 3)
    index.add([1, 2], 0)
    index.add([1, 2], 1)
    index.forget(0)
    assert index.lengths([1, 2]) == {1: 2}
    index.add([5, 6, 7, 8, 9, 10], 0)
    assert index.lengths([1, 2]) == {}
