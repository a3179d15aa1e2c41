// Programs that pods of the suite run; each becomes an image of one file.
module spillway.dev/tests/cluster/tools/images

go 1.24.0
