// Command answer is a pod that answers on port 8080: with its own name, or with what it finds at a URL
// (/get?url=), so that a test can look at the network from inside a pod.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

const mostBytes = 1 << 20

// Every look is a new connection: one that stands outlives the rule that would refuse it.
var client = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func get(answer http.ResponseWriter, request *http.Request) {
	found, err := client.Get(request.URL.Query().Get("url"))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	defer found.Body.Close()
	answer.WriteHeader(found.StatusCode)
	if _, err := io.Copy(answer, io.LimitReader(found.Body, mostBytes)); err != nil {
		log.Print(err)
	}
}

func main() {
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/get", get)
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, name) })
	fmt.Println("listening on 8080")
	log.Fatal(http.ListenAndServe(":8080", nil))
}
