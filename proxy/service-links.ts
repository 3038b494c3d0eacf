import type { Pod } from "#shared/api/core.ts";
import { EchoSocket } from "#shared/kernel/echo-socket.ts";
import { type EchoPort, EchoTurns, type Heard } from "#shared/kernel/echo-turns.ts";
import { KernelError } from "#shared/kernel/kernel-error.ts";
import { FAMILIES, type Family, type Ip } from "#shared/net/ip.ts";
import { type Damping, damp, NEVER_READY } from "#shared/process/flap-damping.ts";
import type { Log } from "#shared/process/log.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { addressOf, attachmentTo, podAttachments } from "#shared/resolve/pod-attachments.ts";

/** Between two turns of requests. */
export const TURN_MS = 100;
/** So many turns without any answer, and the instance is taken to be cut off. */
const SILENT_TURNS = 4;
/** Asked in every turn, of instances and of targets. */
const FEW = 2;
/** Asked before it is believed that nobody is there, and once a second while it is: in two turns, as the second judges. */
const MANY = 64;
const MANY_EVERY = 10;
const RETRY_MS = 1_000;

/** One family on one service network, and who is there beside this instance. */
export interface ServiceLink {
  readonly interface: string;
  readonly family: Family;
  /** Other instances of the Gateway: at least one, or nobody else could serve. */
  readonly instances: readonly Ip[];
  readonly targets: readonly Ip[];
}

/** A link in the words of `GET /status`. */
export interface ServiceLinkStatus {
  readonly interface: string;
  readonly family: Family;
  /** Somebody answers, or nobody ever has. */
  readonly reachable: boolean;
}

/**
 * The links on which there are other instances of the Gateway.
 * @param pods the Gateway's instances.
 * @param own this instance's addresses.
 */
export function serviceLinks(intent: Intent, pods: readonly Pod[], own: ReadonlySet<string>): readonly ServiceLink[] {
  return intent.serviceNetworks.flatMap(({ name, interface: device }) =>
    FAMILIES.flatMap((family): ServiceLink[] => {
      const instances = pods.flatMap((pod) => {
        const attachment = attachmentTo(podAttachments(pod), name, { interface: device });
        const address = attachment && addressOf(attachment, family);
        return address === undefined || own.has(address) ? [] : [address];
      });
      if (instances.length === 0) return [];
      const legs = [...intent.legs.values()].filter((leg) => leg.interface === device);
      const targets = new Set(legs.flatMap((leg) => leg.addresses[family] ?? []));
      return [{ interface: device, family, instances: instances.sort(), targets: [...targets].sort() }];
    }),
  );
}

/** What is known of one link. */
export interface LinkHealth {
  /** Turns in a row in which nobody answered. */
  readonly silentTurns: number;
  /** Whether anybody ever has. */
  readonly heard: boolean;
  /** `reported`: the link may be relied on. */
  readonly damping: Damping;
}

export const UNKNOWN_LINK: LinkHealth = {
  silentTurns: 0,
  heard: false,
  damping: { ...NEVER_READY, reported: true, readySinceMs: 0 },
};

/** Whom to ask next: a few, and many once those are silent. */
export function whomToAsk({ instances, targets }: ServiceLink, { silentTurns }: LinkHealth): readonly Ip[] {
  const round = silentTurns % MANY_EVERY;
  const count = round === SILENT_TURNS - 2 || round === SILENT_TURNS - 1 ? MANY : FEW;
  return [...instances.slice(0, count), ...targets.slice(0, count)];
}

/**
 * The next health of a link. It is lost when somebody was heard once, and nobody is for four turns: neither another
 * instance nor a target. It is relied on again when somebody has been heard for a time that grows with each fall.
 */
export function nextLinkHealth(before: LinkHealth, heard: Iterable<Heard>, nowMs: number): LinkHealth {
  const anybody = [...heard].some(({ answered, unanswered }) => answered && unanswered === 0);
  const silentTurns = anybody ? 0 : before.silentTurns + 1;
  const wasHeard = before.heard || anybody;
  const ready = !wasHeard || silentTurns < SILENT_TURNS;
  return { silentTurns, heard: wasHeard, damping: damp(before.damping, ready, nowMs).damping };
}

export interface ServiceLinkWatchOptions {
  readonly log: Log;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Evenly from [0, 1). */
  readonly random: () => number;
  /** A link was lost, or has come back. */
  readonly onChange: () => void;
  /** @throws KernelError */
  readonly open?: (link: ServiceLink, identifier: number) => EchoPort;
}

interface Watched {
  readonly link: ServiceLink;
  readonly health: LinkHealth;
  readonly turns: EchoTurns | undefined;
  readonly reopenAtMs: number;
}

/**
 * Asks the other instances and some targets, by ICMP echo, whether this instance reaches anybody on its service networks.
 * Their kernels answer. One that reaches nobody, where others could serve, is to attract no traffic.
 */
export class ServiceLinkWatch {
  readonly #options: ServiceLinkWatchOptions;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ServiceLinkWatchOptions) {
    this.#options = options;
  }

  want(links: readonly ServiceLink[]): void {
    const wanted = new Map(links.map((link) => [keyOf(link), link]));
    for (const [key, { turns }] of this.#watched) {
      if (wanted.has(key)) continue;
      turns?.close();
      this.#watched.delete(key);
    }
    for (const [key, link] of wanted) {
      const known = this.#watched.get(key);
      const fresh = { health: UNKNOWN_LINK, turns: undefined, reopenAtMs: 0 };
      this.#watched.set(key, { ...(known ?? fresh), link });
    }
    if (this.#watched.size === 0) this.close();
    else this.#timer ??= setInterval(() => this.turn(), TURN_MS);
  }

  /** Interfaces by which nobody is reached in any family in which somebody was. */
  cutOff(): ReadonlySet<string> {
    const links = [...this.#watched.values()].filter(({ health }) => health.heard);
    const good = new Set(links.filter(({ health }) => health.damping.reported).map(({ link }) => link.interface));
    return new Set(links.map(({ link }) => link.interface).filter((device) => !good.has(device)));
  }

  status(): readonly ServiceLinkStatus[] {
    return [...this.#watched.values()].map(({ link: { interface: device, family }, health }) => ({
      interface: device,
      family,
      reachable: health.damping.reported,
    }));
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const { turns } of this.#watched.values()) turns?.close();
    this.#watched.clear();
  }

  /** One turn of requests. */
  turn(): void {
    const nowMs = this.#options.nowMs();
    let changed = false;
    for (const [key, watched] of this.#watched) {
      const next = this.#ask(watched, nowMs);
      this.#watched.set(key, next);
      if (next.health.damping.reported === watched.health.damping.reported) continue;
      changed = true;
      this.#tell(next);
    }
    if (changed) this.#options.onChange();
  }

  #ask(watched: Watched, nowMs: number): Watched {
    const { health, link } = watched;
    let { turns, reopenAtMs } = watched;
    let heard: Iterable<Heard> = [];
    try {
      if (turns === undefined && nowMs >= reopenAtMs) turns = this.#open(link);
      heard = turns?.turn(whomToAsk(link, health)).values() ?? [];
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // The interface went: whether it is there is looked at elsewhere.
      turns?.close();
      turns = undefined;
      reopenAtMs = nowMs + RETRY_MS;
    }
    const next = nextLinkHealth(health, heard, nowMs);
    // An interface that came back is another one for a socket that was bound to the first.
    if (next.silentTurns > 0 && next.silentTurns % (RETRY_MS / TURN_MS) === 0) {
      turns?.close();
      turns = undefined;
    }
    return { link, health: next, turns, reopenAtMs };
  }

  #open(link: ServiceLink): EchoTurns {
    const {
      random,
      open = ({ family, interface: device }, identifier) => new EchoSocket({ family, device, identifier }),
    } = this.#options;
    const number = (): number => Math.floor(random() * 0x10000);
    return new EchoTurns(open(link, number()), number());
  }

  #tell({ health, link: { interface: device, family, instances, targets } }: Watched): void {
    const facts = { interface: device, family, instances: instances.length, targets: targets.length };
    if (health.damping.reported) this.#options.log.info(facts, "somebody answers on the service network again");
    else this.#options.log.warn(facts, "nobody answers on the service network: this instance is taken to be cut off");
  }
}

const keyOf = ({ family, interface: device }: ServiceLink): string => `${device} IPv${family}`;
