import type { Command } from 'commander'
import { outputOf, type CliContext } from '../context.js'
import { exitCodes } from '../exit-codes.js'
import { table } from '../output.js'

export const registerExitCodes = (program: Command, context: CliContext): void => {
  program.command('exit-codes').description('List the exit codes.').action((_options: object, command: Command) => {
    const out = outputOf(context, command), all = Object.values(exitCodes)
    out.data(all)
    out.line(table(['CODE', 'NAME', 'MEANING'], all.map(({ code, name, meaning }) => [String(code), name, meaning]), 'rl'))
  })
}
