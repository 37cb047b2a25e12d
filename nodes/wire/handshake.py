"""The handshake: both ends prove the cluster secret without sending it, before anything else is listened to.

    dialler                                acceptor
       Hello ------------------------------->          who I am, which format, my nonce
             <------------------------------- Hello
       Proof ------------------------------->          checked first, so the acceptor proves nothing to a stranger
             <------------------------------- Proof

A proof is HMAC-SHA256, keyed with the secret, over the side that gives it and both Hellos to the byte. The acceptor
answers what it refuses with `Refused` and its reason, then closes. The state of a handshake is the message it waits
for: Hello, then Proof, then none (`is_done`).

*Invariants*: `is_done` only after the other end's proof was checked; a proof serves one pair of nonces and one side, so
neither an old one nor one's own, sent back, is worth anything; the nonce of the other end is never one's own.

*Left out*: encryption, and protection of what follows from somebody who can write into the connection; the cores assume
that messages are not forged. Whether a node's number and incarnation are welcome (the transport knows its peers).
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from nodes.errors import AuthenticationFailed
from nodes.wire.codec import Codec
from nodes.wire.frames import FORMAT, FrameError

NODE, CLIENT = "node", "client"
NONCE_BYTES = 32

_DIALLER, _ACCEPTOR = b"txstore dialler", b"txstore acceptor"


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Who speaks. A client has node 0 and no incarnation; `cluster` b"": not known yet, then it is not compared."""

    format: int
    role: str
    node: int
    cluster: bytes
    incarnation: bytes
    nonce: bytes


class Proof(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """That the secret is known, for this connection alone."""

    mac: bytes


class Refused(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Why the acceptor goes no further."""

    reason: str


class _Opening(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """What a Hello of any format begins with."""

    format: int


class Removed(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """After the handshake, from who accepted: the dialler has no part in the cluster any more."""


_removed: Codec[Removed] = Codec(Removed)
_codec: Codec[Hello | Proof | Refused] = Codec(Hello | Proof | Refused)
_opening: Codec[_Opening] = Codec(_Opening)


def encode_refusal(reason: str) -> bytes:
    """The body that tells the other end why the connection is closed."""
    return _codec.encode(Refused(reason))


def encode_removed() -> bytes:
    """The body behind a handshake that tells the dialler so."""
    return _removed.encode(Removed())


decode_removed = _removed.decode


class Handshake:
    """One end of one handshake. Bodies of frames go in and come out; after an error the connection must be closed.

    `peer` is what the other end said of itself: to be trusted only when `is_done`.
    """

    __slots__ = ("_is_dialler", "_mine", "_secret", "_sent", "_theirs", "is_done", "peer")

    def __init__(self, secret: bytes, mine: Hello, is_dialler: bool) -> None:
        if not secret:
            raise ValueError("the cluster secret must not be empty")
        if len(mine.nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        self.is_done = False
        self.peer: Hello | None = None
        self._secret = secret
        self._mine = mine
        self._is_dialler = is_dialler
        self._sent = _codec.encode(mine)
        self._theirs = b""

    def begin(self) -> list[bytes]:
        """What to send at once."""
        return [self._sent] if self._is_dialler else []

    def receive(self, body: bytes) -> list[bytes]:
        """What to send in answer. FrameError: no message of a handshake, or not the one expected here;
        AuthenticationFailed: another format, another cluster, no proof of the secret, or refused by the other end."""
        assert not self.is_done, "a handshake is over when it is done"
        if self.peer is None:
            self._on_hello(self._decode_hello(body), body)
            return [self._proof(self._is_dialler)] if self._is_dialler else [self._sent]
        self._on_proof(_codec.decode(body))
        return [] if self._is_dialler else [self._proof(False)]

    def _decode_hello(self, body: bytes) -> Hello | Proof | Refused:
        try:
            spoken = _opening.decode(body).format
        except FrameError:
            return _codec.decode(body)
        if spoken != FORMAT:
            raise AuthenticationFailed(f"the other end speaks format {spoken}, this one {FORMAT}")
        return _codec.decode(body)

    def _on_hello(self, hello: Hello | Proof | Refused, body: bytes) -> None:
        if isinstance(hello, Refused):
            raise self._refusal(hello)
        if not isinstance(hello, Hello):
            raise FrameError("a handshake begins with Hello")
        if hello.role not in (NODE, CLIENT) or (hello.role == NODE) != (hello.node > 0):
            raise FrameError(f"there is no {hello.role!r} with the node number {hello.node}")
        if len(hello.nonce) != NONCE_BYTES or hello.nonce == self._mine.nonce:
            raise FrameError("the nonce has not the right length, or is not the other end's own")
        if self._is_dialler and hello.role != NODE:
            raise FrameError("only nodes accept connections")
        if hello.cluster and self._mine.cluster and hello.cluster != self._mine.cluster:
            raise AuthenticationFailed("the other end belongs to another cluster")
        self.peer, self._theirs = hello, body

    def _on_proof(self, proof: Hello | Proof | Refused) -> None:
        if isinstance(proof, Refused):
            raise self._refusal(proof)
        if not isinstance(proof, Proof):
            raise FrameError("after Hello comes Proof")
        if not hmac.compare_digest(proof.mac, self._mac(not self._is_dialler)):
            raise AuthenticationFailed("the cluster secret was not proved: the two ends have different ones")
        self.is_done = True

    def _refusal(self, refused: Refused) -> AuthenticationFailed:
        return AuthenticationFailed(f"the other end refused: {refused.reason}")

    def _proof(self, by_dialler: bool) -> bytes:
        return _codec.encode(Proof(self._mac(by_dialler)))

    def _mac(self, by_dialler: bool) -> bytes:
        """Over the side that proves, and both Hellos; each with its length, so no two transcripts read the same."""
        hellos = (self._sent, self._theirs) if self._is_dialler else (self._theirs, self._sent)
        parts = (_DIALLER if by_dialler else _ACCEPTOR, *hellos)
        transcript = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(self._secret, transcript, hashlib.sha256).digest()
