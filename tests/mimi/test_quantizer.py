"""Codes are nearest centroids of what is left, and latents are the sum of two projected branches."""

from __future__ import annotations

import copy

import torch

from duologue.mimi.quantizer import LEAST_USAGE, Codebook, SplitQuantizer

from .codecs import small, sounds


def _quantizer() -> SplitQuantizer:
    return small().quantizer


def test_a_code_is_the_nearest_centroid():
    book, vectors = _quantizer().acoustic.codebooks[0], torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    distances = torch.cdist(vectors.double(), book.centroids().double())
    assert torch.equal(book.encode(vectors), distances.argmin(-1))


def test_ties_go_to_the_lowest_code():
    book = Codebook(4, 2)
    book.embedding_sum.copy_(torch.tensor([[9.0, 9.0], [1.0, 0.0], [1.0, 0.0], [5.0, 5.0]]))
    assert book.encode(torch.tensor([[1.0, 0.0], [0.5, 0.0]])).tolist() == [1, 1]


def test_centroids_are_running_sums_over_usage():
    book = Codebook(3, 2)
    book.embedding_sum.copy_(torch.tensor([[2.0, 4.0], [3.0, 3.0], [0.0, 0.0]]))
    book.cluster_usage.copy_(torch.tensor([2.0, 0.5, 0.0]))
    assert book.centroids().tolist() == [[1.0, 2.0], [6.0, 6.0], [0.0, 0.0]]
    assert LEAST_USAGE == 1e-5


def test_centroids_follow_every_way_of_changing_them():
    book = Codebook(3, 2)
    book.centroids()
    book.embedding_sum.fill_(4.0)
    assert (book.centroids() == 4).all()
    book.cluster_usage.mul_(2)
    assert (book.centroids() == 2).all()
    book.load_state_dict(
        {"embedding_sum": torch.full((3, 2), 9.0), "cluster_usage": torch.ones(3), "initialized": torch.ones(1)}
    )
    assert (book.centroids() == 9).all()
    book.load_state_dict(
        {"embedding_sum": torch.full((3, 2), 7.0), "cluster_usage": torch.ones(3), "initialized": torch.ones(1)},
        assign=True,
    )
    assert (book.centroids() == 7).all()
    twin = copy.deepcopy(book)
    twin.embedding_sum.fill_(1.0)
    assert (twin.centroids() == 1).all() and (book.centroids() == 7).all()
    book.embedding_sum = torch.full((3, 2), 3.0)
    assert (book.centroids() == 3).all()


def test_latents_are_two_projected_sums():
    quantizer, codes = _quantizer(), small().encode(sounds())
    first = quantizer.semantic.codebooks[0].centroids()[codes[:, 0]]
    rest = sum(book.centroids()[codes[:, 1 + i]] for i, book in enumerate(quantizer.acoustic.codebooks))
    wanted = quantizer.semantic.project_out(first.mT) + quantizer.acoustic.project_out(rest.mT)
    torch.testing.assert_close(quantizer.decode(codes), wanted)


def test_any_number_of_codebooks_decodes():
    quantizer, codes = _quantizer(), small().encode(sounds())
    alone = quantizer.semantic.project_out(quantizer.semantic.codebooks[0].centroids()[codes[:, 0]].mT)
    torch.testing.assert_close(quantizer.decode(codes[:, :1]), alone)
    steps = [quantizer.decode(codes[:, :count]) for count in range(1, 9)]
    for count in range(1, 8):
        book = quantizer.acoustic.codebooks[count - 1].centroids()[codes[:, count]]
        torch.testing.assert_close(
            steps[count] - steps[count - 1], quantizer.acoustic.project_out(book.mT), atol=1e-5, rtol=0
        )


def test_more_codebooks_leave_less():
    codec = small()
    latents = codec.latents(sounds()[..., :96_000]).detach()
    left = codec.quantizer.acoustic.project_in(latents).mT
    sizes = []
    for book in codec.quantizer.acoustic.codebooks:
        left = left - book.decode(book.encode(left))
        sizes.append(left.square().sum().item())
    assert sizes == sorted(sizes, reverse=True)


def test_the_acoustic_branch_does_not_see_the_semantic_choice():
    codec, quantizer = small(), copy.deepcopy(_quantizer())
    latents = codec.latents(sounds()[..., : 1920 * 10]).detach()
    before = quantizer.encode(latents)
    quantizer.semantic.codebooks[0].embedding_sum.add_(1.0)
    assert torch.equal(quantizer.encode(latents)[:, 1:], before[:, 1:])
