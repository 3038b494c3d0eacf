/** Pearson's chi-square statistic of counts against the shares that they ought to have. */
export function chiSquare(counts: readonly number[], weights: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  return counts.reduce((sum, count, index) => {
    const expected = (total * (weights[index] ?? 0)) / whole;
    return sum + (count - expected) ** 2 / expected;
  }, 0);
}
