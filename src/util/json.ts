// SPDX-License-Identifier: MIT
import { InputError } from "./errors.js";

/** A JSON object whose fields are not yet known to be right. */
export type Json = Readonly<Record<string, unknown>>;

function wrong(key: string, expected: string, value: unknown): never {
  const got = value === undefined ? "nothing" : (JSON.stringify(value) ?? String(value)).slice(0, 40);
  throw new InputError(`${key}: expected ${expected}, got ${got}`);
}

/** @throws InputError unless `value` is an object; `key` is what the message calls it. */
export function object(value: unknown, key: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) wrong(key, "an object", value);
  return value as Json;
}

/** The string in `value`; `key` is what the message calls it. @throws InputError for anything else. */
export function asString(value: unknown, key: string): string {
  if (typeof value !== "string") wrong(key, "a string", value);
  return value;
}

/** The integer in `value`; `key` is what the message calls it. @throws InputError for anything else. */
export function asInteger(value: unknown, key: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) wrong(key, "an integer", value);
  return value;
}

/** The string in a field. @throws InputError for anything else. */
export function string(json: Json, key: string): string {
  return asString(json[key], key);
}

/** The integer in a field. @throws InputError for anything else. */
export function number(json: Json, key: string): number {
  return asInteger(json[key], key);
}

/** The truth value in a field. @throws InputError for anything else. */
export function bool(json: Json, key: string): boolean {
  const value = json[key];
  if (typeof value !== "boolean") wrong(key, "true or false", value);
  return value;
}

/** The array in a field. @throws InputError for anything else. */
export function array(json: Json, key: string): readonly unknown[] {
  const value = json[key];
  if (!Array.isArray(value)) wrong(key, "an array", value);
  return value;
}

/** An array of integers; `key` is what the message calls it. @throws InputError for anything else. */
export function integers(value: unknown, key: string): readonly number[] {
  if (!Array.isArray(value) || !value.every(Number.isSafeInteger)) wrong(key, "an array of integers", value);
  return value;
}

/** A field through `read`, or null when it is null or absent. */
export function nullable<T>(json: Json, key: string, read: (value: unknown, key: string) => T): T | null {
  const value = json[key];
  return value === undefined || value === null ? null : read(value, key);
}
