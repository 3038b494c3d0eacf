/*
 * DDS 1.4, 2.2.3.13: a writer and a reader meet when they share a partition. Names may be patterns of POSIX fnmatch (1003.2,
 * B.6); a pattern stands for names, not for other patterns.
 */

const WILDCARD = /[*?[]/;

/** Whether the two lists of names, neither empty, have a partition in common. */
export function sharesPartition(one: readonly string[], other: readonly string[]): boolean {
  const names = new Set(other);
  if (one.some((name) => names.has(name) && !WILDCARD.test(name))) return true;
  return covers(one, other) || covers(other, one);
}

/** How much work `sharesPartition` is: names and pairs that are looked at. */
export function partitionWork(one: readonly string[], other: readonly string[]): number {
  const patterns = (names: readonly string[]): number => names.filter((name) => WILDCARD.test(name)).length;
  return one.length + other.length + patterns(one) * other.length + patterns(other) * one.length;
}

function covers(patterns: readonly string[], names: readonly string[]): boolean {
  return patterns.some(
    (pattern) => WILDCARD.test(pattern) && names.some((name) => !WILDCARD.test(name) && matchesPattern(pattern, name)),
  );
}

/**
 * POSIX fnmatch without flags: `*`, `?`, `[set]` and a backslash that takes the next character as it is. The work is at
 * most the product of the lengths.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  let inPattern = 0;
  let inName = 0;
  /** Where to go on when the last star has to take one more character. */
  let star: { readonly afterStar: number; taken: number } | undefined;
  while (inName < name.length || inPattern < pattern.length) {
    if (pattern[inPattern] === "*") {
      inPattern += 1;
      star = { afterStar: inPattern, taken: inName };
      continue;
    }
    const next = inName < name.length ? afterOne(pattern, inPattern, name[inName] ?? "") : undefined;
    if (next !== undefined) {
      inPattern = next;
      inName += 1;
    } else if (star !== undefined && star.taken < name.length) {
      star.taken += 1;
      inPattern = star.afterStar;
      inName = star.taken;
    } else return false;
  }
  return true;
}

/** The place behind what stands for one character, if it stands for this one. */
function afterOne(pattern: string, at: number, character: string): number | undefined {
  const head = pattern[at];
  if (head === undefined) return undefined;
  if (head === "?") return at + 1;
  if (head === "\\" && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : undefined;
  if (head === "[") {
    const set = readSet(pattern, at);
    if (set !== undefined) return set.has(character) ? set.end : undefined;
  }
  return head === character ? at + 1 : undefined;
}

/** The bracket expression that begins at `at`; undefined when it has no end and is a plain character. */
function readSet(pattern: string, at: number): { readonly end: number; has(character: string): boolean } | undefined {
  const isNegated = pattern[at + 1] === "!";
  const start = at + (isNegated ? 2 : 1);
  // The first character is one of the set even if it is the closing bracket.
  const close = pattern.indexOf("]", start + 1);
  if (close < 0) return undefined;
  const has = (character: string): boolean => {
    for (let index = start; index < close; index++) {
      const first = pattern[index] ?? "";
      const isRange = pattern[index + 1] === "-" && index + 2 < close;
      const last = isRange ? (pattern[index + 2] ?? "") : first;
      if (character >= first && character <= last) return !isNegated;
      if (isRange) index += 2;
    }
    return isNegated;
  };
  return { end: close + 1, has };
}
