/** The two plain shapes of commands over the operator API: show all things of a kind, and do one thing to one of them. */
import type { Command } from 'commander'
import type { ReleaseView } from '../../admin/port.js'
import { adminOf, outputOf, withAdminOptions, type CliContext } from '../context.js'

export interface AdminOptions { readonly config?: string, readonly socket?: string }

export interface Listing<View> {
  readonly description: string
  readonly path: string
  readonly text: (views: readonly View[]) => string
}

/** Adds `list`: the answer as data, or as text. The operator API's type is the caller's word. */
export const list = <View>(group: Command, context: CliContext, what: Listing<View>): void => {
  withAdminOptions(group.command('list')).description(what.description)
    .action(async (options: AdminOptions, command: Command) => {
      const out = outputOf(context, command), views = await (await adminOf(context, options)).get(what.path) as View[]
      out.data(views)
      out.line(what.text(views))
    })
}

export interface Act {
  readonly name: string
  readonly description: string
  /** Name of the argument; default id. */
  readonly argument?: string
  readonly argumentDescription: string
  /** Where to post, of the encoded argument. */
  readonly path: (id: string) => string
  /** Said in the past, before the argument. */
  readonly done: string
  /** What the required option --reason is for; without it the command has none. */
  readonly reason?: string
}

/** Adds a command that does one thing to one thing. */
export const act = (group: Command, context: CliContext, what: Act): void => {
  const command = withAdminOptions(group.command(what.name)).description(what.description).argument(`<${what.argument ?? 'id'}>`, what.argumentDescription)
  if (what.reason !== undefined) command.requiredOption('--reason <text>', what.reason)
  command.action(async (id: string, options: AdminOptions & { reason?: string }, self: Command) => {
    const out = outputOf(context, self)
    const view = await (await adminOf(context, options)).post(what.path(encodeURIComponent(id)), what.reason === undefined ? {} : { reason: options.reason }) as Partial<ReleaseView> | undefined
    const still = view?.still ?? ''
    out.data({ id, done: what.done, ...still === '' ? {} : { still } })
    out.line(still === '' ? `${what.done}: ${id}` : `${what.done} here: ${id}; still ${still}`)
  })
}
