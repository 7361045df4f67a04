/**
 * The only reader of process.env. Returns a frozen copy of the variables whose names begin with `prefix`, taken at
 * the call: whoever needs a setting gets it passed from there.
 */
export const environmentVariables = (prefix: string): Readonly<Record<string, string>> => Object.freeze(Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[0].startsWith(prefix) && entry[1] !== undefined),
))
