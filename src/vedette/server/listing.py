"""A page of a list together with how long the whole list is."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The items of one page, and the `total` of all pages."""

    items: tuple[T, ...]
    total: int
