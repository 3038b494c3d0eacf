import { openRawIcmp, type RawIcmp } from "#shared/kernel/raw-icmp.ts";
import { FAMILIES, type Family } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { type DropReason, type LegOf, translateIcmpError } from "./icmp-translation.ts";

export interface IcmpTranslatorOptions {
  /** What is in force now; undefined: nothing. */
  readonly intent: () => Intent | undefined;
  /** Where the packets of a flow go. */
  readonly legOf: LegOf;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Errors translated in a second and family; what is over it is dropped and counted. Default 1000. */
  readonly packetsPerSecond?: number;
}

export interface IcmpCounts {
  readonly toTarget: number;
  readonly toClient: number;
  readonly dropped: Readonly<Partial<Record<IcmpDrop, number>>>;
}

/** Besides what the packet is to blame for: over the rate, or the kernel refused to send it. */
type IcmpDrop = DropReason | "over-rate" | "not-sent";

export interface IcmpTranslator {
  /** Opens or closes the sockets as the intent in force wants: to be called when it may have changed. */
  refresh(): void;
  counts(): IcmpCounts;
  close(): void;
}

/**
 * Translates ICMP errors about flows in NAT mode, which the ruleset delivers to this host. In DSR mode nothing is
 * open: there the ruleset does it all.
 */
export function openIcmpTranslator(options: IcmpTranslatorOptions): IcmpTranslator {
  const translator = new Translator(options);
  translator.refresh();
  return translator;
}

class Translator implements IcmpTranslator {
  readonly #options: IcmpTranslatorOptions;
  readonly #sockets = new Map<Family, RawIcmp>();
  readonly #translated = { "to-target": 0, "to-client": 0 };
  readonly #dropped = new Map<IcmpDrop, number>();
  readonly #complained = new Set<string>();
  /** What sockets that are closed had to drop. */
  #overRate = 0;

  constructor(options: IcmpTranslatorOptions) {
    this.#options = options;
  }

  refresh(): void {
    const { intent, signal } = this.#options;
    if (signal.aborted || intent()?.mode !== "NAT") {
      this.close();
      return;
    }
    for (const family of FAMILIES) if (!this.#sockets.has(family)) this.#open(family);
  }

  close(): void {
    for (const family of FAMILIES) this.#close(family);
  }

  counts(): IcmpCounts {
    const open = [...this.#sockets.values()].reduce((sum, socket) => sum + socket.counters().dropped, 0);
    const overRate = this.#overRate + open;
    return {
      toTarget: this.#translated["to-target"],
      toClient: this.#translated["to-client"],
      dropped: { ...Object.fromEntries(this.#dropped), ...(overRate > 0 ? { "over-rate": overRate } : {}) },
    };
  }

  #open(family: Family): void {
    const { signal, packetsPerSecond } = this.#options;
    try {
      const socket = openRawIcmp({
        family,
        signal,
        ...(packetsPerSecond === undefined ? {} : { packetsPerSecond }),
        onPacket: (packet) => this.#packet(socket, packet),
        onError: (error) => {
          this.#close(family);
          this.#complain(error);
        },
      });
      this.#sockets.set(family, socket);
    } catch (error) {
      // Without this family's errors the traffic itself goes on; the next refresh tries again.
      this.#complain(error);
    }
  }

  #close(family: Family): void {
    const socket = this.#sockets.get(family);
    if (socket === undefined) return;
    this.#sockets.delete(family);
    this.#overRate += socket.counters().dropped;
    socket.close();
  }

  #packet(socket: RawIcmp, packet: Uint8Array): void {
    const intent = this.#options.intent();
    if (intent?.mode !== "NAT") return;
    const translation = translateIcmpError(intent, packet, this.#options.legOf);
    if (translation.kind === "dropped") {
      this.#drop(translation.reason);
      return;
    }
    try {
      socket.sendRaw(translation.packet, { mark: translation.mark });
      this.#translated[translation.kind]++;
    } catch (error) {
      // No route, a full queue: an error message may be lost as any packet may.
      this.#drop("not-sent");
      this.#complain(error);
    }
  }

  #drop(reason: IcmpDrop): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1);
  }

  /** Says each problem once: packets could ask for it at any rate. */
  #complain(error: unknown): void {
    const text = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (this.#complained.has(text)) return;
    this.#complained.add(text);
    this.#options.log.warn({ err: error }, "cannot translate ICMP errors");
  }
}
