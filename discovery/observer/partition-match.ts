/*
 * DDS 1.4, 2.2.3.13: a writer and a reader meet when they share a partition. Names may be patterns of POSIX fnmatch (1003.2,
 * B.6); a pattern stands for names, not for other patterns.
 */

/**
 * Whose rules hold: DDS's, or those of a vendor that was seen to have others. Fast DDS 2.9.1 matches patterns with each
 * other; to Cyclone DDS 0.10.2 only `*` and `?` are special.
 */
export type PartitionRules = "dds" | "fast" | "cyclone";

const WILDCARD = /[*?[]/;
const CYCLONE_WILDCARD = /[*?]/;

const isPattern = (name: string, rules: PartitionRules): boolean =>
  (rules === "cyclone" ? CYCLONE_WILDCARD : WILDCARD).test(name);

/** Whether the two lists of names, neither empty, have a partition in common. */
export function sharesPartition(
  one: readonly string[],
  other: readonly string[],
  rules: PartitionRules = "dds",
): boolean {
  const names = new Set(other);
  if (one.some((name) => names.has(name) && !isPattern(name, rules))) return true;
  return covers(one, other, rules) || covers(other, one, rules);
}

/** Steps of `matchesPattern` that are as much work as looking at a name. */
const STEPS = 64;

/** How much work `sharesPartition` is at most: names that are looked at, and patterns against names by their lengths. */
export function partitionWork(one: readonly string[], other: readonly string[]): number {
  const characters = (names: readonly string[]): number => names.reduce((sum, name) => sum + name.length + 1, 0);
  const inPatterns = (names: readonly string[]): number => characters(names.filter((name) => WILDCARD.test(name)));
  const steps = inPatterns(one) * characters(other) + inPatterns(other) * characters(one);
  return one.length + other.length + Math.ceil(steps / STEPS);
}

function covers(patterns: readonly string[], names: readonly string[], rules: PartitionRules): boolean {
  const plain = rules === "fast" ? names : names.filter((name) => !isPattern(name, rules));
  return patterns.some(
    (pattern) => isPattern(pattern, rules) && plain.some((name) => matchesPattern(pattern, name, rules)),
  );
}

/**
 * POSIX fnmatch without flags: `*`, `?`, `[set]` and a backslash that takes the next character as it is. The work is at
 * most the product of the lengths.
 */
export function matchesPattern(pattern: string, name: string, rules: PartitionRules = "dds"): boolean {
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
    const next = inName < name.length ? afterOne(pattern, inPattern, name[inName] ?? "", rules) : undefined;
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
function afterOne(pattern: string, at: number, character: string, rules: PartitionRules): number | undefined {
  const head = pattern[at];
  if (head === undefined) return undefined;
  if (head === "?") return at + 1;
  if (rules === "cyclone") return head === character ? at + 1 : undefined;
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
