import { KmeError } from '../kernel/errors.js'
import type { Route } from './routes.js'

export interface Match { readonly route: Route, readonly params: Readonly<Record<string, string>> }

const decode = (segment: string): string => {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new KmeError('BAD_REQUEST', 'the path holds a percent sign that encodes nothing')
  }
}

const paramsOf = (pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined => {
  if (pattern.length !== segments.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, part] of pattern.entries()) {
    const segment = segments[i] ?? ''
    if (part.startsWith(':') && segment !== '') params[part.slice(1)] = decode(segment)
    else if (part !== segment) return undefined
  }
  return params
}

/**
 * Finds the route of a method and path. HEAD counts as GET.
 *
 * @throws KmeError `NOT_FOUND`; `METHOD_NOT_ALLOWED` with the methods that the path knows.
 */
export const matchRoute = (routes: readonly Route[], method: string, path: string): Match => {
  const segments = path.split('/')
  const wanted = method === 'HEAD' ? 'GET' : method
  const allowed: string[] = []
  for (const route of routes) {
    const params = paramsOf(route.path.split('/'), segments)
    if (params === undefined) continue
    if (route.method === wanted) return { route, params }
    allowed.push(route.method)
  }
  if (allowed.length > 0) throw new KmeError('METHOD_NOT_ALLOWED', `use ${[...new Set(allowed)].join(' or ')} here`)
  throw new KmeError('NOT_FOUND', 'there is nothing under this path')
}
