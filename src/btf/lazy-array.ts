// SPDX-License-Identifier: MIT

/** Digits only: how an index arrives in a trap. */
const INDEX = /^\d+$/;

/**
 * An array of `length` elements that are made when first read, each once. It is a true array: an element that
 * was made is its own property and is read at an array's speed. Only holes reach the prototype, and there a
 * proxy fills them, so that every method of arrays sees all elements.
 */
export function lazyArray<T>(length: number, make: (index: number) => T): readonly T[] {
  const array = new Array<T>(length);
  const inside = (key: string | symbol): key is string =>
    typeof key === "string" && INDEX.test(key) && Number(key) < length;
  const holes = new Proxy(Array.prototype, {
    get(target, key, receiver) {
      if (!inside(key)) return Reflect.get(target, key, receiver) as unknown;
      const element = make(Number(key));
      array[Number(key)] = element;
      return element;
    },
    has: (target, key) => inside(key) || Reflect.has(target, key),
  });
  // Assigning to a hole would ask the proxy too: define the element instead.
  return Object.setPrototypeOf(array, holes) as readonly T[];
}
