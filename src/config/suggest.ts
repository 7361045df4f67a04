/** The known name nearest to a misspelt one, if it is near enough to be meant. */
export const suggest = (name: string, known: readonly string[]): string | undefined => {
  const lower = name.toLowerCase()
  const ranked = known.map((one) => ({ one, distance: distance(lower, one.toLowerCase()) })).sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best !== undefined && best.distance <= (name.length < 4 ? 1 : Math.max(2, Math.floor(name.length / 3))) ? best.one : undefined
}

/** Levenshtein distance: insertions, deletions and replacements. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length] as number
}
