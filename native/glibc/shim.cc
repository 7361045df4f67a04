// Three C library symbols that glibc has from 2.38 on, for older systems.
//
// A binary built against glibc 2.38 headers calls strtol, strtoul and sscanf under new names, which differ only in
// that they also read binary literals ("0b101") in base 0 and 2 (ISO C23, 7.24.1.7). Nothing that qkme loads uses
// such literals, so each name forwards to the function that every glibc has. src/http/uws.ts loads this file with
// RTLD_GLOBAL before such a binary, and never on a system that has the real symbols.
#include <node_api.h>

#include <cstdarg>

// Bound to the old symbols by name: the header of a newer glibc would redirect the call to ourselves.
extern "C" {
long qkme_old_strtol(const char* text, char** end, int base) __asm__("strtol");
unsigned long qkme_old_strtoul(const char* text, char** end, int base) __asm__("strtoul");
int qkme_old_vsscanf(const char* text, const char* format, va_list arguments) __asm__("vsscanf");

#define QKME_EXPORT __attribute__((visibility("default")))

QKME_EXPORT long __isoc23_strtol(const char* text, char** end, int base) {
  return qkme_old_strtol(text, end, base);
}

QKME_EXPORT unsigned long __isoc23_strtoul(const char* text, char** end, int base) {
  return qkme_old_strtoul(text, end, base);
}

QKME_EXPORT int __isoc23_sscanf(const char* text, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int count = qkme_old_vsscanf(text, format, arguments);
  va_end(arguments);
  return count;
}
}

// Node unloads a shared object that does not register itself as an addon, and the symbols would go with it.
NAPI_MODULE_INIT() {
  (void)env;
  return exports;
}
