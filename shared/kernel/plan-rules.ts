import { compareText, type Plan } from "./apply-plan.ts";
import { type Rule, ruleText } from "./rules.ts";

/**
 * The changes that turn `actual` (our rules, from `listRules` by protocol) into `desired`. New rules come before old ones
 * go. Rules are added from the last priority to the first, so that the target of a `goto` is there before the jump, and
 * deleted the other way round. A rule that is there twice loses its second.
 */
export function planRules<A extends Rule & { readonly unknown?: readonly number[] }>(
  desired: readonly Rule[],
  actual: readonly A[],
): Plan<Rule> {
  const wanted = new Map(desired.map((rule) => [ruleText(rule), rule]));
  const missing = new Map(wanted);
  const remove: Rule[] = [];
  for (const rule of actual) {
    // A rule that selects on something this module does not know is not the one that is wanted.
    if (rule.unknown?.length || !missing.delete(ruleText(rule))) remove.push(rule);
  }
  return { add: [...missing.values()].sort(byPriority).reverse(), replace: [], delete: remove.sort(byPriority) };
}

function byPriority(a: Rule, b: Rule): number {
  return a.priority - b.priority || compareText(ruleText(a), ruleText(b));
}
