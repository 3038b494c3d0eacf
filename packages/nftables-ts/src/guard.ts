/** Runtime checks that the compiler holds against the type they promise: a forgotten or misspelt field does not compile. */
export type Guard<T> = (value: unknown) => value is T;

type OptionalKeys<T> = { [K in keyof T]-?: Record<string, never> extends Pick<T, K> ? K : never }[keyof T];
type RequiredFields<T> = { readonly [K in Exclude<keyof T, OptionalKeys<T>>]: Guard<T[K]> };
type OptionalFields<T> = { readonly [K in OptionalKeys<T>]-?: Guard<Exclude<T[K], undefined>> };

export const isString: Guard<string> = (value): value is string => typeof value === "string";
export const isNumber: Guard<number> = (value): value is number => typeof value === "number";
export const isBoolean: Guard<boolean> = (value): value is boolean => typeof value === "boolean";
export const isNull: Guard<null> = (value): value is null => value === null;

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function oneOf<const T extends string>(...allowed: readonly T[]): Guard<T> {
  return (value): value is T => allowed.some((candidate) => candidate === value);
}

export function either<A, B>(first: Guard<A>, second: Guard<B>): Guard<A | B> {
  return (value): value is A | B => first(value) || second(value);
}

export function listOf<T>(item: Guard<T>): Guard<readonly T[]> {
  return (value): value is readonly T[] => Array.isArray(value) && value.every(item);
}

export function pairOf<A, B>(first: Guard<A>, second: Guard<B>): Guard<readonly [A, B]> {
  return (value): value is readonly [A, B] =>
    Array.isArray(value) && value.length === 2 && first(value[0]) && second(value[1]);
}

/** An object with these fields. Further fields pass: a newer libnftables adds some. */
export function fields<T extends object>(required: RequiredFields<T>, optional: OptionalFields<T>): Guard<T> {
  const musts = Object.entries<Guard<unknown>>(required);
  const mays = Object.entries<Guard<unknown>>(optional);
  return (value): value is T =>
    isRecord(value) &&
    musts.every(([name, guard]) => guard(value[name])) &&
    mays.every(([name, guard]) => value[name] === undefined || guard(value[name]));
}

type KeysOf<U> = U extends unknown ? keyof U & string : never;
type ValueOf<U, K extends string> = U extends Readonly<Record<K, infer V>> ? V : never;

/** An object with exactly one key, which selects the guard for its value. */
export function keyed<U extends object>(guards: { readonly [K in KeysOf<U>]: Guard<ValueOf<U, K>> }): Guard<U> {
  const byKey = new Map<string, Guard<unknown>>(Object.entries<Guard<unknown>>(guards));
  return (value): value is U => {
    if (!isRecord(value)) return false;
    const keys = Object.keys(value);
    const key = keys[0];
    return keys.length === 1 && key !== undefined && byKey.get(key)?.(value[key]) === true;
  };
}
