import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { type Ip, ip } from "#shared/net/ip.ts";
import {
  nextLinkHealth,
  type ServiceLink,
  ServiceLinkWatch,
  TURN_MS,
  UNKNOWN_LINK,
  whomToAsk,
} from "./service-links.ts";

const OTHER = ip("10.1.0.252");
const TARGETS = Array.from({ length: 5 }, (_, i) => ip(`10.1.0.${i + 1}`));
const link = (family: 4 | 6 = 4): ServiceLink => ({
  interface: "svc0",
  family,
  instances: [OTHER],
  targets: TARGETS,
});

describe("judging", () => {
  test("never lost before anybody was heard, never lost while somebody is", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 40 }), (answers) => {
        let health = UNKNOWN_LINK;
        for (const [turn, anybody] of answers.entries()) {
          health = nextLinkHealth(health, [{ answered: true, unanswered: anybody ? 0 : 3 }], turn * TURN_MS);
          const lately = answers.slice(Math.max(0, turn - 3), turn + 1);
          const everHeard = answers.slice(0, turn + 1).includes(true);
          expect(health.damping.readySinceMs === undefined).toBe(
            everHeard && lately.length === 4 && !lately.includes(true),
          );
        }
      }),
    );
  });

  test("few are asked, and many before it is believed that nobody is there", () => {
    expect(whomToAsk(link(), UNKNOWN_LINK)).toEqual([OTHER, TARGETS[0], TARGETS[1]]);
    expect(whomToAsk(link(), { ...UNKNOWN_LINK, silentTurns: 2 })).toHaveLength(6);
    expect(whomToAsk(link(), { ...UNKNOWN_LINK, silentTurns: 3 })).toHaveLength(6);
    expect(whomToAsk(link(), { ...UNKNOWN_LINK, silentTurns: 4 })).toHaveLength(3);
  });
});

describe("watching", () => {
  let answering: Set<Ip>;
  let exists: boolean;
  let watch: ServiceLinkWatch;
  let changes: number;
  let open: number;
  const warnings: string[] = [];

  beforeEach(() => {
    vi.useFakeTimers();
    [answering, exists, changes, open] = [new Set([OTHER, ...TARGETS]), true, 0, 0];
    warnings.length = 0;
    watch = new ServiceLinkWatch({
      log: {
        debug: () => undefined,
        info: () => undefined,
        warn: (_: unknown, text?: string) => void warnings.push(String(text)),
        error: () => undefined,
      },
      nowMs: () => performance.now(),
      random: () => 0.5,
      onChange: () => {
        changes++;
      },
      open: () => {
        if (!exists) throw new KernelNotFoundError("echo socket", "ENODEV", "no such device");
        open++;
        const waiting: [string, number][] = [];
        return {
          send: (to, sequence) => void (answering.has(ip(to)) && waiting.push([to, sequence])),
          drain: (onReply) => {
            for (const [from, sequence] of waiting.splice(0)) onReply(from, sequence);
          },
          close: () => {
            open--;
          },
        };
      },
    });
  });
  afterEach(() => {
    watch.close();
    expect(open).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });
  const turns = (count: number): void => void vi.advanceTimersByTime(count * TURN_MS);

  test("cut off when nobody answers any more; back when somebody has for a second", () => {
    watch.want([link()]);
    turns(5);
    expect(watch.cutOff()).toEqual(new Set());
    answering = new Set();
    turns(6);
    expect(watch.cutOff()).toEqual(new Set(["svc0"]));
    expect(changes).toBe(1);
    expect(warnings).toEqual(["nobody answers on the service network: this instance is taken to be cut off"]);
    answering = new Set([OTHER]);
    turns(5);
    expect(watch.cutOff()).toEqual(new Set(["svc0"]));
    turns(10);
    expect(watch.cutOff()).toEqual(new Set());
    expect(changes).toBe(2);
  });

  test("one target among many is enough", () => {
    watch.want([link(4), link(6)]);
    turns(5);
    answering = new Set([TARGETS[4] ?? OTHER]);
    turns(30);
    expect(watch.cutOff()).toEqual(new Set());
    expect(changes).toBe(0);
  });

  test("where nobody has ever answered, nothing is judged", () => {
    answering = new Set();
    watch.want([link()]);
    turns(50);
    expect(watch.cutOff()).toEqual(new Set());
    expect(watch.status()).toEqual([{ interface: "svc0", family: 4, reachable: true }]);
  });

  test("an interface that goes and comes back is asked by a socket of its own", () => {
    watch.want([link()]);
    turns(5);
    exists = false;
    answering = new Set();
    turns(25);
    expect(open).toBe(0);
    expect(watch.cutOff()).toEqual(new Set(["svc0"]));
    exists = true;
    answering = new Set([OTHER]);
    turns(30);
    expect(watch.cutOff()).toEqual(new Set());
  });

  test("without another instance nobody is asked", () => {
    watch.want([link()]);
    turns(2);
    watch.want([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
