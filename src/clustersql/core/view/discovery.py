"""Which members a cluster has, as its nodes tell it: who becomes a node, and who is one no longer.  ``(view, told, now)
-> view``.

Rules
-----
1. What an answering node has told last holds until it tells anew.  A question that failed changes nothing.
2. A member that is reported and is no node yet is added as *reported*: it gets no work and is nobody's node until it
   has answered.
3. When it answers it is *discovered*, unless it is the same server as another node (`Double`: the same identity, or the
   same address at the other end of the connection) or a stranger (another database, or not the server that was
   reported).
4. A configured node is never removed, and of two names for one server its own is kept.
5. A discovered node is removed when, for ``forget_after`` seconds without a break, a node that knows all members (the
   primary, a member of Galera's Primary component) has answered, no answering node has reported it, and it does not say
   itself that it takes part.  So an outage, or the death of the only node that could tell, removes nothing.  Who knows
   all members is one of them: a standby that was promoted may have no standby itself that would report it.
6. What the operator has removed is not discovered again until it is added.
7. An address that only the server itself can use (loopback, a wildcard, none) is no address, unless the address map
   says what it means.
8. Configured nodes come first, in their order; then the discovered ones by name, so that all clients agree on one
   writer.
9. Where Patroni tells the members, it is believed as far as `patroni` has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .endpoint import HostPort, plain, useless
from .members import Discovery, Double, Member, Members, Reported, Stranger
from .node import Node, Origin, Reach
from .patroni import LONG_ENOUGH, agreed, disputed, doubts, keeps_up, knows_us
from .servers import LISTED

if TYPE_CHECKING:
    from .view import View


def reported(view: View) -> Iterator[Reported]:
    """Yield what the answering nodes report now, and what Patroni has reported last."""
    known = view.discovery
    if known is None:
        return
    configured = [n.endpoint for n in view.nodes if n.origin is Origin.CONFIGURED and n.endpoint]
    port = configured[0].port if configured else known.port
    for node in view.nodes:
        told = known.told.get(node.name)
        if told is not None and node.reach is Reach.UP and not node.outdated:
            yield from (_located(node.name, member, known.address_map, configured, port) for member in told.members)
    if known.outside is not None:
        by, members = known.outside.node, known.outside.members
        yield from (_located(by, member, known.address_map, configured, port) for member in members)


def _located(
    by: str, member: Member, address_map: Mapping[str, HostPort], configured: Sequence[HostPort], port: int | None
) -> Reported:
    """The most exact key first: the name, the whole address, the host.  Where we have configured a node ourselves is an
    address to us.
    """
    host = plain(member.host)
    exact = str(HostPort(host, member.port)) if host else ""
    key = next((key for key in (member.name, exact, host) if key and key in address_map), "")
    if key:
        to = address_map[key]
        return Reported(by, member, HostPort(to.host, to.port or member.port or port), key=key)
    if (why := useless(member.host)) and HostPort(host, member.port) not in configured:
        return Reported(by, member, None, f"{why}; say in address_map where it is")
    return Reported(by, member, HostPort(host, member.port or port))


def learned(view: View, seen: Members, now: float) -> View:
    """Return the view after a node was asked for the members, or Patroni; the same object when it is no news."""
    known, by = view.discovery, view.by_name.get(seen.node)
    if known is not None and seen.outside:
        return _learned_outside(view, known, seen, now)
    if known is None or by is None or by.origin is Origin.REPORTED:
        return view
    if seen.why:
        if known.refused.get(seen.node) == seen.why:
            return view
        return replace(view, discovery=replace(known, refused={**known.refused, seen.node: seen.why}))
    # The database's order means nothing, and changes.
    seen = replace(seen, members=tuple(sorted(seen.members, key=str)))
    if known.told.get(seen.node) != seen or seen.node in known.refused:
        refused = {node: why for node, why in known.refused.items() if node != seen.node and node in view.by_name}
        told = {node: members for node, members in known.told.items() if node in view.by_name} | {seen.node: seen}
        view = replace(view, discovery=replace(known, told=told, refused=refused))
    return _settled(view, now)


def _learned_outside(view: View, known: Discovery, seen: Members, now: float) -> View:
    if seen.why:
        return view if known.unheard == seen.why else replace(view, discovery=replace(known, unheard=seen.why))
    told = replace(known, outside=seen, unheard="")
    leader = leading(replace(view, discovery=told))
    wrong = min(known.disputed + 1, LONG_ENOUGH) if leader is not None and disputed(leader) else 0
    told = replace(told, disputed=wrong)
    return _settled(view if told == known else replace(view, discovery=told), now)


def leading(view: View) -> Node | None:
    """Return the node that Patroni calls the leader; None: it names none, several, or one that is no node of ours."""
    found = [node for one, node in told_outside(view) if one.member.leads]
    return found[0] if len(found) == 1 else None


def told_outside(view: View) -> Iterator[tuple[Reported, Node]]:
    """Yield what Patroni reports of each member that is a node of ours, and the node."""
    known = view.discovery
    if known is None or known.outside is None:
        return
    for one in reported(view):
        if one.by == known.outside.node and one.member.state and one.at is not None:
            node = node_at(view.nodes, known, str(one.at))
            if node is not None and node.origin is not Origin.REPORTED:
                yield one, node


def _settled(view: View, now: float) -> View:
    """Add whom somebody reports, and remove whom nobody has reported for long enough."""
    known = view.discovery
    assert known is not None
    there = {str(one.at): one for one in reported(view) if one.at is not None}
    doubles = {at: double for at, double in known.doubles.items() if at in there}
    strangers = {at: one for at, one in known.strangers.items() if at in there and now < one.until}
    known = replace(known, doubles=doubles, strangers=strangers)
    nodes = {at: node_at(view.nodes, known, at, one.member.identity) for at, one in there.items()}
    unknown = [at for at in there if nodes[at] is None and at not in strangers and at not in known.excluded]
    vouched = {node.name for node in nodes.values() if node is not None}
    authorities = {node.name for node in view.nodes if _is_authority(node, known)}
    vouched |= authorities | {node.name for node in view.nodes if _takes_part(node, known)}
    if known.outside is not None:
        unknown = unknown if knows_us(view) else []
        authorities |= agreed(leading(view), known)
        vouched |= {node.name for node in view.nodes if keeps_up(view, node, now)}
    missing = {
        node.name: known.missing.get(node.name, now)
        for node in view.nodes
        if node.origin not in LISTED and authorities and node.name not in vouched
    }
    gone = {name for name, since in missing.items() if now - since >= known.forget_after}
    known = replace(known, missing={name: since for name, since in missing.items() if name not in gone})
    added = [_candidate(at, there[at], now) for at in unknown]
    if not added and not gone:
        return view if known == view.discovery else replace(view, discovery=known)
    left = [node for node in view.nodes if node.name not in gone]
    return replace(view, nodes=in_order([*left, *added]), discovery=known, at=now, version=view.version + 1)


def _takes_part(node: Node, known: Discovery) -> bool:
    told = known.told.get(node.name)
    return told is not None and told.attached and node.reach is Reach.UP


def _is_authority(node: Node, known: Discovery) -> bool:
    told = known.told.get(node.name)
    return told is not None and told.complete and node.reach is Reach.UP and not node.outdated


def _candidate(name: str, one: Reported, now: float) -> Node:
    """Down, so that nobody is sent there before it has answered the monitor, and due at once."""
    why = f"reported by {one.by}, not asked yet"
    return Node(name, 0, reach=Reach.DOWN, since=now, why=why, origin=Origin.REPORTED, endpoint=one.at)


def node_at(nodes: Sequence[Node], known: Discovery, at: str, identity: str = "") -> Node | None:
    """Return the node that the address ``at`` leads to, as far as is known; ``identity``: what was reported of the
    server there.
    """
    double = known.doubles.get(at, Double("", frozenset()))
    identities = {identity, double.identity} - {""}
    for node in nodes:  # the configured ones come first
        if str(node.endpoint) == at or at in node.peers or node.peers & double.peers:
            return node
    return next((node for node in nodes if node.identity in identities), None)


def in_order(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes as rule 8 has it; the others' ``order`` goes on where that of the configured ones ends."""
    configured = [node for node in nodes if node.origin in LISTED]
    others = sorted((node for node in nodes if node.origin not in LISTED), key=lambda node: node.name)
    first = max((node.order for node in configured), default=-1) + 1
    return (*configured, *(replace(node, order=first + i) for i, node in enumerate(others)))


def admitted(
    nodes: Sequence[Node], about: Node, known: Discovery, view: View, now: float
) -> tuple[tuple[Node, ...], Discovery]:
    """Return the nodes and what is known after ``about``, one of them, has answered: it is a node now, a double, or a
    stranger (rule 3).
    """
    same = [node for node in nodes if node is not about and _same_server(node, about)]
    if about.origin not in LISTED and any(_comes_first(node, about) for node in same):
        same = [about]
    else:
        same = [node for node in same if node.origin not in LISTED]
    if same:
        doubles = {node.name: Double(about.identity, about.peers) for node in same}
        known = replace(known, doubles={**known.doubles, **doubles})
        nodes = [node for node in nodes if node not in same]
    if about.origin is Origin.REPORTED and about not in same:
        if why := _foreign(nodes, about, view):
            strangers = {**known.strangers, about.name: Stranger(why, now + known.forget_after)}
            return tuple(node for node in nodes if node is not about), replace(known, strangers=strangers)
        nodes = [replace(node, origin=Origin.DISCOVERED) if node is about else node for node in nodes]
    return tuple(nodes), known


def _same_server(one: Node, other: Node) -> bool:
    return bool(one.peers & other.peers) or (one.identity != "" and one.identity == other.identity)


def _comes_first(node: Node, about: Node) -> bool:
    """Of two discovered ones the first that answered stays: its name does not change under its callers."""
    return node.origin in LISTED or (node.origin is Origin.DISCOVERED and about.origin is Origin.REPORTED)


def _foreign(nodes: Sequence[Node], about: Node, view: View) -> str:
    lineages = {n.epoch.lineage for n in nodes if n.epoch is not None and n.origin is not Origin.REPORTED}
    if about.epoch is not None and lineages and about.epoch.lineage not in lineages:
        return f"another database: {about.epoch.lineage} instead of {', '.join(sorted(lineages))}"
    told = {one.member.identity for one in reported(view) if str(one.at) == about.name} - {""}
    if told and about.identity and about.identity not in told:
        return f"another server: {about.identity} instead of {', '.join(sorted(told))}"
    return ""


def excluded(known: Discovery, node: Node) -> Discovery:
    """Return what is known after the operator has removed ``node``."""
    names = {str(node.endpoint), *node.peers, *{at for at, double in known.doubles.items() if _leads_to(double, node)}}
    return replace(known, excluded=known.excluded | names)


def _leads_to(double: Double, node: Node) -> bool:
    return bool(double.peers & node.peers) or (double.identity != "" and double.identity == node.identity)


def complaints(view: View) -> tuple[str, ...]:
    """Return, in words, everything that keeps discovery from being complete."""
    known = view.discovery
    if known is None:
        return ()
    found = [f"{node} could not tell the members: {why}" for node, why in known.refused.items()]
    found += doubts(view, leading(view))
    members = list(reported(view))
    found += left_out(view)
    found += _ambiguous(members)
    for at, stranger in known.strangers.items():
        found.append(f"{at} is reported and left out: it is {stranger.why}")
    for node in view.nodes:
        if node.origin is Origin.REPORTED and node.failures:
            why = f"{node.why}; if clients reach it elsewhere, say so in address_map"
            found.append(f"{node.name} is reported and does not answer: {why}")
    if members and known.address_map and not any(one.key for one in members):
        keys, seen = ", ".join(known.address_map), ", ".join(sorted({str(one.member) for one in members}))
        found.append(f"address_map maps nothing: its keys are {keys}, and the database reports {seen}")
    return tuple(dict.fromkeys(found))


def left_out(view: View) -> tuple[str, ...]:
    """Return, in words, the members whose address only the server itself can use; among them are arbitrators, which
    have none.
    """
    return tuple(
        f"{one.member}, reported by {one.by}, is left out: {one.why}" for one in reported(view) if one.at is None
    )


def _ambiguous(members: Sequence[Reported]) -> Iterator[str]:
    """Several members of one node at one address, without ports: only one of them is found."""
    places: dict[tuple[str, str], list[Reported]] = {}
    for one in members:
        if one.at is not None:
            places.setdefault((one.by, str(one.at)), []).append(one)
    for (by, at), ones in places.items():
        if len(ones) > 1 and len({str(one.member) for one in ones}) > 1:
            names = " and ".join(str(one.member) for one in ones)
            yield f"{names}, reported by {by}, are all taken for {at}: map each by its name in address_map"
