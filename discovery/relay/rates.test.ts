import { expect, it } from "vitest";
import { Rates } from "./rates.ts";

const LIMITS = { datagramsPerSecond: 100, datagramsPerSecondPerSource: 10, participantsPerAddress: 5 };

function taken(rates: Rates, address: string, times: number, nowMs: number, isKnown = false): number {
  return Array.from({ length: times }, () => rates.take(address, isKnown, nowMs)).filter(Boolean).length;
}

it("one address has its share, and gets it back with time", () => {
  const rates = new Rates(LIMITS, 0);
  expect(taken(rates, "a", 50, 0)).toBe(10);
  expect(taken(rates, "b", 5, 0)).toBe(5);
  expect(taken(rates, "a", 50, 500)).toBe(5);
  expect(taken(rates, "a", 50, 60_000)).toBe(10);
});

it("strangers together do not take what an address with a participant has", () => {
  const rates = new Rates(LIMITS, 0);
  let strangers = 0;
  for (let at = 0; at < 10_000; at++) strangers += taken(rates, `stranger ${at}`, 1, 0);
  expect(strangers).toBe(100);
  expect(taken(rates, "a", 20, 0, true)).toBe(10);
});

it("one address does not make news all the time", () => {
  const rates = new Rates(LIMITS, 0);
  const news = (nowMs: number) => Array.from({ length: 50 }, () => rates.takeNews("a", nowMs)).filter(Boolean).length;
  expect(news(0)).toBe(15);
  expect(news(1_000)).toBe(10);
});
