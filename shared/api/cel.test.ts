import { expect, test } from "vitest";
import { obeys } from "./cel.fixture.ts";

const SELF = { a: 7, text: "ab:cd", list: [{ k: 1 }, { k: 2 }], namespace: "n", block: "192.0.2.0/24" };

test.each([
  "self.a * 2 - 4 == 10 && self.a / 2 % 2 == 1",
  "-self.a < 0 || true",
  "has(self.a) && !has(self.b)",
  "self.a == 7 ? self.text == 'ab:cd' : self.b == 1",
  "self.__namespace__ == 'n' && self.a in [6, 7]",
  "self.list.all(e, e.k > 0) && self.list.exists(e, e.k == 2) && self.list.exists_one(e, e.k == 1)",
  "self.list.filter(e, e.k > 1).size() == 1 && size(self.list) == 2 && self.list[1].k == 2",
  "self.text.split(':')[1] == 'cd' && self.text.substring(3) == 'cd' && self.text.substring(0, 2) == 'ab'",
  "self.text.indexOf('x') == -1 || self.text.lastIndexOf(':') == 2",
  "int('0042') == 42 && ' x '.trim() == 'x' && 'AbÉ'.lowerAscii() == 'abÉ' && 'abc'.charAt(1) == 'b'",
  `self.text.matches(r"""^[a-z]+:\\w+$""") && 'xay'.matches('a')`,
  // What decides wins over what fails, on either side.
  "self.none == 1 || true",
  "!(self.none == 1 && false)",
  "isIP('2001:db8::1') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0') && !isIP('01.2.3.4') && ip('::1').family() == 6",
  "isCIDR('192.0.2.1/24') && !isCIDR('192.0.2.0/33') && !isCIDR('192.0.2.0/024') && !isCIDR('192.0.2.0')",
  "cidr(self.block).containsIP(ip('192.0.2.9')) && !cidr(self.block).containsIP(cidr('2001:db8::/64').ip())",
])("holds: %s", (rule) => {
  expect(obeys(rule, SELF)).toBe(true);
});

test.each([
  "self.a == 8",
  "self.list.exists_one(e, e.k > 0)",
  "self.list.all(e, e.k == 1)",
  "self.a > 7 && self.none == 1",
])("does not hold: %s", (rule) => {
  expect(obeys(rule, SELF)).toBe(false);
});

test.each([
  ["self.none == 1", /no such field/],
  ["other.a == 1", /there is no other/],
  ["self.a", /no truth/],
  ["self.text.substring(9) == ''", /outside/],
  ["int('x') == 1", /no number/],
  ["self.a / 0 == 1", /zero/],
  ["cidr('x').containsIP(ip('::1'))", /no address/],
  ["self.text.reverse() == ''", /no function/],
  ["self.namespace == 'n'", /no name/],
  ["self.a ==", /no name/],
  ["self.a == 1)", /unexpected/],
  ["self.a # 1", /cannot read/],
  ["self.list.all(e e.k)", /wants ,/],
  ["has(self)", /wants a field/],
])("fails: %s", (rule, message) => {
  expect(() => obeys(rule, SELF)).toThrow(message);
});
