"""Limits of the service: bytes, images, seconds, memory, connections."""

from dataclasses import dataclass

CHEAP_BYTES = 2_000_000
"""The most bytes of an image that a thread of the server may decode."""


@dataclass(frozen=True)
class Limits:
    """The limits of the service.

    Attributes:
        megabytes: Of a request's body.
        images: In a request.
        requests: Requests at a time whose body has arrived; more are refused with status 503.
        seconds: For a request's body to arrive, and then for its answer.
        held_megabytes: Of all bodies together. Beyond it, the largest that is still arriving
            is refused.
        decoding_seconds: For an image that a process decodes.
        decoding_megabytes: Of memory that such a process may take for an image; on Linux.
        decoding_waits: Images at a time that wait for such a process, and requests at a time of
            more than `CHEAP_BYTES`.
        header_seconds: For a request's header to arrive.
        header_bytes: Of a request's header.
        connections: In all. Beyond it, the one that has waited longest for its client is closed.
        connections_per_address: Likewise, from one address.
        wrong_tokens: That an address may show in a minute; then it is not listened to.
        refusal_seconds: That an answer with status 503 waits, so that clients that ask again at
            once leave time to others.
        ending_seconds: For requests under way, once the service is told to end.
    """

    megabytes: float = 32
    images: int = 32
    requests: int = 64
    seconds: float = 30
    held_megabytes: float = 128
    decoding_seconds: float = 10
    decoding_megabytes: float = 400
    decoding_waits: int = 16
    header_seconds: float = 10
    header_bytes: int = 65536
    connections: int = 1024
    connections_per_address: int = 512
    wrong_tokens: int = 10
    refusal_seconds: float = 1
    ending_seconds: float = 6
