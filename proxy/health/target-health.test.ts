import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { initialHealth, isHeld, nextHealth, type TargetHealth } from "./target-health.ts";

const THRESHOLDS = { failureThreshold: 3, successThreshold: 2 };
const INTERVAL_MS = 200;

/** Outcomes, one every interval: `x` failed, `.` answered. @returns the states, as letters. */
function play(outcomes: string, from: TargetHealth, startMs = 1_000): { readonly states: string; end: TargetHealth } {
  let health = from;
  const states = [...outcomes].map((outcome, index) => {
    const nowMs = startMs + index * INTERVAL_MS;
    health = nextHealth(health, { answered: outcome === ".", askedMs: nowMs }, THRESHOLDS, nowMs);
    return { up: "U", down: isHeld(health) ? "h" : "D", pending: "p" }[health.state];
  });
  return { states: states.join(""), end: health };
}

describe("a target", () => {
  test("is out after so many failures in a row, and not before", () => {
    expect(play("..x.xx.xxx", initialHealth("up", 0)).states).toBe("UUUUUUUUUD");
  });

  test("returns after so many answers in a row and its hold time, which doubles with each fall", () => {
    const first = play("xxx.x..", initialHealth("up", 0));
    expect(first.states).toBe("UUDDDDh");
    const returned = play("......", first.end, 2_400);
    // 1 s after the second answer in a row.
    expect(returned.states).toMatch(/^h{3,4}U+$/);
    const again = play("xxx..........", returned.end, 4_000);
    // 2 s: ten intervals.
    expect(again.states).toMatch(/^UUDDh{9}$/);
    expect(play("....", again.end, 6_600).states).toMatch(/^h?U+$/);
  });

  test("that is new needs one answer, or is out after so many failures", () => {
    expect(play("..", initialHealth("pending", 0)).states).toBe("UU");
    expect(play("xxxx", initialHealth("pending", 0)).states).toBe("ppDD");
    expect(play("xx.", initialHealth("pending", 0)).states).toBe("ppU");
  });

  test("that was out when we began is in again after so many answers", () => {
    expect(play("x.x..", initialHealth("down", 0)).states).toBe("DDDDU");
  });

  test("knows which question failed last", () => {
    expect(play("..xx", initialHealth("up", 0)).end.failedMs).toBe(1_600);
    expect(play("..xx.", initialHealth("up", 0)).end.failedMs).toBeUndefined();
  });
});

test("whatever comes: out only by failures in a row, in only by answers, and always in again in the end", () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { maxLength: 80 }),
      fc.constantFrom("up" as const, "down" as const, "pending" as const),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      (outcomes, initial, failureThreshold, successThreshold) => {
        const thresholds = { failureThreshold, successThreshold };
        let health = initialHealth(initial, 0);
        let nowMs = 0;
        const last: boolean[] = [];
        for (const answered of outcomes) {
          nowMs += INTERVAL_MS;
          last.push(answered);
          const next = nextHealth(health, { answered, askedMs: nowMs }, thresholds, nowMs);
          if (health.state !== "down" && next.state === "down") {
            expect(last.slice(-failureThreshold)).toEqual(Array(failureThreshold).fill(false));
          }
          if (health.state !== "up" && next.state === "up") expect(answered).toBe(true);
          expect(next.failedMs === undefined).toBe(answered);
          health = next;
        }
        for (let more = 0; more < 5 + 30_000 / INTERVAL_MS; more++) {
          nowMs += INTERVAL_MS;
          health = nextHealth(health, { answered: true, askedMs: nowMs }, thresholds, nowMs);
        }
        expect(health.state).toBe("up");
      },
    ),
  );
});
