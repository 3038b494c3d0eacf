/*
 * Numbers that the processes of a gateway instance share in the kernel of their network namespace.
 */

/** Routing table of the routes that routers announced; the proxy's `ip rule` sends replies from VIPs through it. */
export const RETURN_TABLE = 7701;
/** Routing protocol number ("causeway") on every route that we install: what carries it is ours to change or remove. */
export const ROUTE_PROTOCOL = 201;
