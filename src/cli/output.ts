/**
 * The only place of the command line that writes. Results go to stdout, everything else to stderr, so that
 * `qkme … --json | jq` always works.
 */
export interface Output {
  readonly json: boolean
  /** The result for people; nothing in JSON mode. */
  line (text?: string): void
  /** The result for programs; nothing in text mode. */
  data (value: unknown): void
  /** Progress and warnings, on stderr in both modes. */
  note (text: string): void
  /** What went wrong, on stderr: words, or one JSON object. */
  error (code: string, message: string): void
}

export interface Streams { readonly out: (text: string) => void, readonly err: (text: string) => void }

export const processStreams: Streams = {
  out: (text) => { process.stdout.write(text) },
  err: (text) => { process.stderr.write(text) },
}

export const createOutput = (json: boolean, streams: Streams = processStreams): Output => ({
  json,
  line: (text = '') => { if (!json) streams.out(`${text}\n`) },
  data: (value) => { if (json) streams.out(`${JSON.stringify(value, null, 2)}\n`) },
  note: (text) => { streams.err(`${text}\n`) },
  error: (code, message) => { streams.err(json ? `${JSON.stringify({ error: { code, message } })}\n` : `qkme: ${message}\n`) },
})

const widthMax = 80

/**
 * A table without lines, at most 80 columns wide as long as the columns before the last fit: the last one is wrapped at words.
 *
 * @param align Per column 'l' or 'r'; the last is always left.
 */
export const table = (head: readonly string[], rows: readonly (readonly string[])[], align = ''): string => {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  const last = head.length - 1
  const indent = widths.slice(0, last).reduce((sum, width) => sum + width + 2, 0)
  const room = Math.max(20, widthMax - indent)
  return all.flatMap((row) => {
    const lead = row.slice(0, last).map((cell, column) => align[column] === 'r' ? cell.padStart(widths[column] as number) : cell.padEnd(widths[column] as number)).join('  ')
    return wrap(row[last] ?? '', room).map((part, index) => (index === 0 ? `${lead}${last > 0 ? '  ' : ''}${part}` : ' '.repeat(indent) + part).trimEnd())
  }).join('\n')
}

/** Lines of at most `room` characters, broken at spaces; a longer word stays whole. */
export const wrap = (text: string, room: number): string[] => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** 1234567 -> `1,234,567` */
export const grouped = (value: number): string => Number.isInteger(value) ? value.toLocaleString('en-US') : value.toFixed(2)
