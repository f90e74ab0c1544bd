/* Calls one kernel of a shared library for another processor, under an emulator.
 *
 * usage: emulated LIBRARY FUNCTION FILE
 * FILE: the number of regions, their addresses and sizes; the size of the arguments, the arguments;
 * the regions. Each address within the arguments is replaced by that of the copy. The regions are
 * written back.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

int main(int count, char **given) {
    if (count != 4) return 10;
    void *library = dlopen(given[1], RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 11;
    }
    int (*kernel)(void *) = (int (*)(void *))dlsym(library, given[2]);
    FILE *file = fopen(given[3], "r+b");
    uint64_t regions, address[MOST], size[MOST], bytes, words[MOST];
    if (!kernel || !file || fread(&regions, 8, 1, file) != 1 || regions > MOST) return 12;
    if (fread(address, 8, regions, file) != regions || fread(size, 8, regions, file) != regions)
        return 13;
    if (fread(&bytes, 8, 1, file) != 1 || bytes > sizeof words) return 14;
    if (fread(words, 1, bytes, file) != bytes) return 15;
    long start = ftell(file);
    char *copy[MOST];
    for (uint64_t r = 0; r < regions; r++) {
        copy[r] = malloc(size[r] + 1);
        if (!copy[r] || fread(copy[r], 1, size[r], file) != size[r]) return 16;
    }
    for (uint64_t w = 0; w < bytes / 8; w++) {
        for (uint64_t r = 0; r < regions; r++) {
            if (words[w] >= address[r] && words[w] < address[r] + size[r]) {
                words[w] = (uint64_t)(uintptr_t)(copy[r] + (words[w] - address[r]));
                break;
            }
        }
    }
    int code = kernel(words);
    fseek(file, start, SEEK_SET);
    for (uint64_t r = 0; r < regions; r++)
        if (fwrite(copy[r], 1, size[r], file) != size[r]) return 17;
    fclose(file);
    return code;
}
