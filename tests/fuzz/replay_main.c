/* replay_main.c: run kept inputs through a fuzz target, without a fuzzer:  replay_<name> FILE-OR-FOLDER...
 *
 * It stands in for libFuzzer's main() in ordinary builds, so that every input that was once interesting stays tested
 * with every compiler. A corpus that is missing or empty is a failure: it would test nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long inputs_run;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file || fstat(fileno(file), &info) != 0) {
        perror(path);
        exit(1);
    }
    size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size ? size : 1); /* exactly the input, so that a sanitizer sees a read beyond it */
    if (!data || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot read it whole\n", path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    inputs_run++;
}

static void replay_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        perror(path);
        exit(1);
    }
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') replay_file(name);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode)) {
            replay_folder(argv[i]);
        } else {
            replay_file(argv[i]);
        }
    }
    if (!inputs_run) {
        fprintf(stderr, "no inputs: a corpus is missing\n");
        return 1;
    }
    printf("%lu inputs\n", inputs_run);
    return 0;
}
