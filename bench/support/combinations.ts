/** The `index`-th way to choose 4 of 20 targets: services with the same pods would share a lookup table. */
export function fourOf20(index: number): readonly number[] {
  let left = index;
  for (let a = 1; a <= 17; a++)
    for (let b = a + 1; b <= 18; b++)
      for (let c = b + 1; c <= 19; c++) for (let d = c + 1; d <= 20; d++) if (left-- === 0) return [a, b, c, d];
  throw new RangeError(`there are 4,845 ways, not ${index}`);
}
