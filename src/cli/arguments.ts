import { InvalidArgumentError } from 'commander'

const wholeNumber = (minimum: number, maximum: number) => (text: string): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < minimum || value > maximum) throw new InvalidArgumentError(`must be a whole number from ${minimum} to ${maximum}.`)
  return value
}

/** Parsers of option values; a wrong value is a usage error that names the option. */
export const days = wholeNumber(1, 36_500)
export const seconds = wholeNumber(1, 86_400)
export const sequence = wholeNumber(0, Number.MAX_SAFE_INTEGER)
export const recordCount = wholeNumber(1, 1_000_000)
