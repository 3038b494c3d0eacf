/*
 * Numbers that the processes of a gateway instance share in the kernel of their network namespace.
 */

/** Routing table of the routes that routers announced; the proxy's `ip rule` sends replies from VIPs through it. */
export const RETURN_TABLE = 7701;
/** Routing protocol number ("causeway") on every route that we install: what carries it is ours to change or remove. */
export const ROUTE_PROTOCOL = 201;

/*
 * Packet marks of a gateway instance. A mark with the top bit clear is a leg's id (see shared/resolve/intent-types.ts).
 */

/** A reply, or an ICMP message of our own, whose source is a VIP: routed by {@link RETURN_TABLE}. */
export const RETURN_MARK = 0x80000001;
/** An ICMP error about a translated flow: delivered locally, for the translator in user space. */
export const ICMP_MARK = 0x80000003;
/** Routing table that delivers what carries {@link ICMP_MARK} locally. */
export const ICMP_TABLE = 7702;
/** In a map of moved slots: flows that are not known as kept go to the slot's owner. Never on a packet that leaves. */
export const SETTLED_MARK = 0x80000004;
/** Routing table that drops what the ruleset should have taken: VIPs' TCP, UDP and SCTP is never for the stack itself. */
export const GUARD_TABLE = 7703;
