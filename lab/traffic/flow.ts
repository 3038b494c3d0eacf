import type { Outcome } from "./report.ts";

/** How one exchange ended. `local`: this machine could not even try; nothing was sent. */
export type ExchangeResult =
  | { readonly outcome: "answered"; readonly target: string }
  | { readonly outcome: Exclude<Outcome, "answered"> }
  | { readonly outcome: "local"; readonly message: string };

/** One TCP connection or UDP socket to the destination. One exchange at a time. */
export interface Flow {
  /** 0 before it is known. */
  readonly sourcePort: number;
  exchange(request: Buffer): Promise<ExchangeResult>;
  /** Called at most once, when the other end's kernel has accepted a TCP connection. */
  onAccepted: (() => void) | undefined;
  /** Called at most once, when the flow breaks while no exchange is under way. */
  onIdleBreak: ((result: ExchangeResult) => void) | undefined;
  close(): void;
}

/** What a socket's error means for the exchange. */
export function resultOf(error: Error): ExchangeResult {
  const code = "code" in error ? error.code : undefined;
  switch (code) {
    case "ECONNREFUSED":
      return { outcome: "refused" };
    case "ECONNRESET":
    case "EPIPE":
      return { outcome: "reset" };
    case "ETIMEDOUT":
      return { outcome: "timeout" };
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EHOSTDOWN":
    case "EACCES":
    case "EPERM":
      return { outcome: "unreachable" };
    default:
      // EADDRNOTAVAIL, EADDRINUSE, EMFILE, ENFILE, ENOBUFS, ENOMEM, EMSGSIZE…: not the network's doing.
      return { outcome: "local", message: error.message };
  }
}
