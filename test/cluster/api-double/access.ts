import type { TLSSocket } from "node:tls";
import { StatusError } from "./status-error.ts";

/** One kind of request that somebody made: what RBAC would have to grant. */
export interface Use {
  readonly user: string;
  readonly verb: string;
  /** API group, "" for the core group. */
  readonly group: string;
  /** With the subresource: `pods/status`. */
  readonly resource: string;
  /** "" for a request about the whole cluster. */
  readonly namespace: string;
}

const WRITES = new Set(["create", "update", "patch", "delete"]);

/** Who may talk to the server, and what each has asked for. */
export class Access {
  readonly #tokens = new Map<string, string>();
  readonly #uses = new Map<string, Use>();
  /** Every write, in order. */
  readonly writes: Use[] = [];

  allow(token: string, user: string): void {
    this.#tokens.set(token, user);
  }

  revoke(token: string): void {
    this.#tokens.delete(token);
  }

  /** @throws StatusError 401. */
  userOf(authorization: string | undefined, socket: TLSSocket): string {
    const [, token] = /^Bearer (.+)$/.exec(authorization ?? "") ?? [];
    const user = token === undefined ? undefined : this.#tokens.get(token);
    if (user !== undefined) return user;
    if (token === undefined && socket.authorized) {
      const { subject } = socket.getPeerCertificate();
      if (typeof subject?.CN === "string") return subject.CN;
    }
    throw new StatusError(401, "Unauthorized", "Unauthorized");
  }

  record(use: Use): void {
    if (WRITES.has(use.verb)) this.writes.push(use);
    this.#uses.set(JSON.stringify(use), use);
  }

  uses(): readonly Use[] {
    return [...this.#uses.values()];
  }
}
