/** Powers that the suffixes of a Kubernetes quantity stand for. */
const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** What a resource quantity such as `500m`, `1.5Gi` or `2e3` is worth; undefined when it is none. */
export function quantityValue(text: string): number | undefined {
  const [, digits, exponent = "", suffix = ""] =
    /^([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([A-Za-z]{1,2}))?$/.exec(text) ?? [];
  const power = SUFFIXES[suffix];
  return digits === undefined || power === undefined ? undefined : Number(`${digits}${exponent}`) * power;
}

/** Whether two values are the same, or the same quantity: the API server writes `1000m` as `1`. */
export function sameQuantity(actual: unknown, wanted: unknown): boolean {
  if (actual === wanted) return true;
  if (typeof actual !== "string" || typeof wanted !== "string") return false;
  const value = quantityValue(wanted);
  return value !== undefined && quantityValue(actual) === value;
}
